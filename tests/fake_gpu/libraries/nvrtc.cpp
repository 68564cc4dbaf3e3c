// libnvrtc: device_code.py, in the same process, has programs compiled by g++. The "cubin" is a short text with the path of
// the module.
#include <cstring>
#include <string>
#include <vector>

#include "core.h"
#include "properties.h"

namespace {

enum Result { OK = 0, INVALID_PROGRAM = 4, INTERNAL = 11, NO_NAME = 10 };

struct Program {
    std::string source, log, image;
    std::vector<std::string> names;
};

// device_code.py's function: gets the source, the options and the name expressions as lists of texts, returns a Result, and
// says by nvrtc_answer where the module is, or what is wrong.
using Compiler = int (*)(Program *, const char *, int, const char *const *, int, const char *const *);
Compiler compiler;

int compile(Program &program, const std::vector<const char *> &options) {
    if (!compiler) {
        program.log = "the process was not started by `python tests/fake_gpu`";
        return INTERNAL;
    }
    std::vector<const char *> names;
    for (auto &name : program.names) names.push_back(name.c_str());
    int status = compiler(&program, program.source.c_str(), options.size(), options.data(), names.size(), names.data());
    if (status == OK) program.image = "// fluidlite emulator\n// " + program.log + "\n";
    return status;
}

int copy_text(const std::string &text, char *result) {
    memcpy(result, text.c_str(), text.size() + 1);
    return OK;
}

}  // namespace

#define API(name, ...) extern "C" int name(__VA_ARGS__)

API(nvrtcVersion, int *major, int *minor) {
    *major = EMULATED_VERSION / 1000;
    *minor = EMULATED_VERSION % 1000 / 10;
    return OK;
}
static const int architectures[] = {75, 80, 86, 87, 89, 90, 100, 120};
API(nvrtcGetNumSupportedArchs, int *number) { *number = sizeof architectures / sizeof *architectures; return OK; }
API(nvrtcGetSupportedArchs, int *result) { memcpy(result, architectures, sizeof architectures); return OK; }
extern "C" const char *nvrtcGetErrorString(int result) {
    switch (result) {
        case OK: return "NVRTC_SUCCESS";
        case INVALID_PROGRAM: return "NVRTC_ERROR_INVALID_PROGRAM";
        case 5: return "NVRTC_ERROR_INVALID_OPTION";
        case 6: return "NVRTC_ERROR_COMPILATION";
        case NO_NAME: return "NVRTC_ERROR_NAME_EXPRESSION_NOT_VALID";
        default: return "NVRTC_ERROR_INTERNAL_ERROR";
    }
}
API(nvrtc_compile_by, Compiler function) { compiler = function; return OK; }
API(nvrtc_answer, Program *program, const char *text) { program->log = text; return OK; }
API(nvrtcCreateProgram, Program **result, const char *source, const char *, int headers, const char *const *, const char *const *) {
    if (headers) return emu::missing("a header that is given as a text"), INTERNAL;
    *result = new Program{source};
    return OK;
}
API(nvrtcDestroyProgram, Program **program) {
    delete *program;
    *program = nullptr;
    return OK;
}
API(nvrtcAddNameExpression, Program *program, const char *name) { program->names.push_back(name); return OK; }
API(nvrtcCompileProgram, Program *program, int count, const char *const *options) {
    return compile(*program, std::vector<const char *>(options, options + count));
}
// The "mangled" name is the expression: cuModuleGetFunction finds it by that.
API(nvrtcGetLoweredName, Program *program, const char *name, const char **result) {
    for (auto &known : program->names)
        if (known == name) {
            *result = known.c_str() + (known[0] == '&');
            return OK;
        }
    return NO_NAME;
}
API(nvrtcGetProgramLogSize, Program *program, size_t *size) { *size = program->log.size() + 1; return OK; }
API(nvrtcGetProgramLog, Program *program, char *result) { return copy_text(program->log, result); }
API(nvrtcGetPTXSize, Program *program, size_t *size) { *size = program->image.size() + 1; return OK; }
API(nvrtcGetPTX, Program *program, char *result) { return copy_text(program->image, result); }
API(nvrtcGetCUBINSize, Program *program, size_t *size) { *size = program->image.size() + 1; return OK; }
API(nvrtcGetCUBIN, Program *program, char *result) { return copy_text(program->image, result); }
API(nvrtcGetLTOIRSize, Program *, size_t *) { return INVALID_PROGRAM; }
API(nvrtcGetLTOIR, Program *, char *) { return INVALID_PROGRAM; }
