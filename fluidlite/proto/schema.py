"""Paddle's messages (package paddle.framework.proto, proto2), described for whatever protobuf library is installed.

The classes are made from the table below when this module is imported, in a descriptor pool of their own: there is no
generated file that an older or newer library would refuse, and the real Paddle may be imported beside fluidlite.

Two kinds of fields have other types here than in Paddle's own schema, with the same bytes on disk.  A `string` is held
as bytes, since Paddle writes strings that are not UTF-8 and protobuf libraries differ in when they refuse those; an
enum is held as a number, so that a number that this Paddle did not know is seen and not set aside.
"""

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "paddle.framework.proto"

# message -> a line for each field: number, label, type, name, and the default if there is one.
MESSAGES = {
    "Version": "1 optional int64 version = 0",
    "OpDesc": """
        3 required string type
        1 repeated OpDesc.Var inputs
        2 repeated OpDesc.Var outputs
        4 repeated OpDesc.Attr attrs
        5 optional bool is_target = false""",
    "OpDesc.Attr": """
        1 required string name
        2 required enum type
        3 optional int32 i
        4 optional float f
        5 optional string s
        6 repeated int32 ints
        7 repeated float floats
        8 repeated string strings
        10 optional bool b
        11 repeated bool bools
        12 optional int32 block_idx
        13 optional int64 l
        14 repeated int32 blocks_idx
        15 repeated int64 longs""",
    "OpDesc.Var": """
        1 required string parameter
        2 repeated string arguments""",
    "VarType": """
        1 required enum type
        2 optional VarType.TensorDesc selected_rows
        3 optional VarType.LoDTensorDesc lod_tensor
        4 optional VarType.LoDTensorArrayDesc tensor_array
        5 optional VarType.ReaderDesc reader
        7 optional VarType.Tuple tuple""",
    "VarType.TensorDesc": """
        1 required enum data_type
        2 repeated int64 dims""",
    "VarType.LoDTensorDesc": """
        1 required VarType.TensorDesc tensor
        2 optional int32 lod_level = 0""",
    "VarType.LoDTensorArrayDesc": """
        1 required VarType.TensorDesc tensor
        2 optional int32 lod_level = 0""",
    "VarType.ReaderDesc": "1 repeated VarType.LoDTensorDesc lod_tensor",
    "VarType.Tuple": "1 repeated enum element_type",
    "VarDesc": """
        1 required string name
        2 required VarType type
        3 optional bool persistable = false
        4 optional bool need_check_feed = false""",
    "BlockDesc": """
        1 required int32 idx
        2 required int32 parent_idx
        3 repeated VarDesc vars
        4 repeated OpDesc ops
        5 optional int32 forward_block_idx = -1""",
    "CompatibleInfo": """
        1 required string version
        2 required enum type""",
    "OpCompatibleMap": """
        1 repeated OpCompatibleMap.OpCompatiblePair pair
        2 optional string default_required_version""",
    "OpCompatibleMap.OpCompatiblePair": """
        1 required string op_name
        2 required CompatibleInfo compatible_info""",
    "ProgramDesc": """
        1 repeated BlockDesc blocks
        4 optional Version version
        3 optional OpCompatibleMap op_compatible_map""",
}

# What an attribute of an operator may be, and the field of OpDesc.Attr that holds it.
ATTR_TYPES = {
    "INT": (0, "i"),
    "FLOAT": (1, "f"),
    "STRING": (2, "s"),
    "INTS": (3, "ints"),
    "FLOATS": (4, "floats"),
    "STRINGS": (5, "strings"),
    "BOOLEAN": (6, "b"),
    "BOOLEANS": (7, "bools"),
    "BLOCK": (8, "block_idx"),
    "LONG": (9, "l"),
    "BLOCKS": (10, "blocks_idx"),
    "LONGS": (11, "longs"),
}

_HELD_AS = {"string": "bytes", "enum": "int32"}


def fields(message):
    """The fields of a message of the table: (number, label, type, name, default or None) for each."""
    for line in MESSAGES[message].strip().splitlines():
        declaration, _, default = line.strip().partition(" = ")
        number, label, type, name = declaration.split()
        yield int(number), label, type, name, default or None


def _described():
    file = descriptor_pb2.FileDescriptorProto(name="fluidlite/framework.proto", package=PACKAGE, syntax="proto2")
    found = {}
    for full_name in sorted(MESSAGES):
        outer, _, name = full_name.rpartition(".")
        found[full_name] = described = found[outer].nested_type.add() if outer else file.message_type.add()
        described.name = name
        for number, label, type, name, default in fields(full_name):
            field = described.field.add(name=name, number=number)
            field.label = getattr(field, f"LABEL_{label.upper()}")
            if type in MESSAGES:
                field.type, field.type_name = field.TYPE_MESSAGE, f".{PACKAGE}.{type}"
            else:
                field.type = getattr(field, f"TYPE_{_HELD_AS.get(type, type).upper()}")
            if default is not None:
                field.default_value = default
    return file


def _classes():
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(_described().SerializeToString())
    if hasattr(message_factory, "GetMessageClass"):
        class_of = message_factory.GetMessageClass
    else:  # before protobuf 4.22
        class_of = message_factory.MessageFactory(pool).GetPrototype
    return {name: class_of(pool.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in MESSAGES}


_found = _classes()
OpDesc, VarDesc, BlockDesc, ProgramDesc = (_found[name] for name in ("OpDesc", "VarDesc", "BlockDesc", "ProgramDesc"))
TensorDesc = _found["VarType.TensorDesc"]
