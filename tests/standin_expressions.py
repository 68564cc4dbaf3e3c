"""Expressions whose outcomes on the real CuPy are recorded (`tools/record_cupy.py`), for the stand-in to give the same.

`a` is a float32 array of shape (3, 4), `i` int64 of shape (12,), `h` float16 and `f` float32 of shapes (2,) and (3,).
"""

import numpy as np

EXPRESSIONS = """
a+1
a.sum()
a[1,2]
a.T.base is a
a[1:, ::2].base is a
a.reshape(-1).base is a
cp.flip(a,0).base is a
a+np.ones((3,4),'float32')
np.ones((3,4),'float32')+a
np.float32(2)*a
np.float64(2)*a
a*np.float64(2)
cp.copyto(a,np.ones((3,4),'float32'))
cp.copyto(a,np.float64(3))
cp.copyto(a,3.5)
cp.copyto(i,3.5)
cp.copyto(a,cp.ones(4,'float64'))
cp.copyto(i,cp.ones(12,'float64'))
cp.copyto(i,cp.ones(12,'float64'),casting='unsafe')
cp.copyto(a,0,where=a>3)
cp.copyto(a,a*2,where=(a>3)[:, :1])
cp.copyto(a[0,0],5)
cp.copyto(a[0,0],i[3],casting='unsafe',where=a[0,1]>0)
cp.matmul(a,np.ones((4,2),'float32'))
a.__setitem__(0,np.ones(4,'float32'))
a.__setitem__(0,1.5)
a.__setitem__(0,i[:4])
a.__setitem__((cp.asarray([0,1]),cp.asarray([1,1])),7)
a.__setitem__((slice(None),cp.asarray([0,1])),a[:, :2]*2)
a.__setitem__(a>3,0)
a.__setitem__(cp.asarray([5]),0)
cp.add(a,a,out=np.empty((3,4),'float32'))
cp.add(a,a,where=a>1)
cp.add(a,a,out=cp.empty((3,4),'int32'))
cp.add(a,1,out=cp.empty((2,3,4),'float32'))
cp.add(a,a,out=cp.empty(4,'float32'))
cp.greater(a,0,out=cp.empty((3,4),'float32'))
cp.multiply(a,a>2,out=cp.empty((3,4),'float32'))
cp.divide(i,i+1,out=cp.empty(12,'float32'))
cp.divide(1,a+1)
cp.power(a,2)
cp.power(a,0.5)
cp.sqrt(i)
cp.sign(a)
cp.clip(a,0,float('inf'))
cp.clip(i,0,float('inf'))
cp.clip(a,2,5,out=a)
cp.clip(a,None,3)
cp.maximum(a,3)
cp.maximum(i,2.5)
cp.add(i,h)
h*2.0
h*2
i*2
i*0.5
(i.astype('uint8')+(-1))
i.astype('uint8')+300
i/2
cp.negative(a>2)
cp.subtract(a>2,a>3)
cp.add(a>2,a>3)
cp.logical_and(a,1)
cp.where(a>3,a,0)
cp.where(a>3,a,0).dtype
cp.where(a>3,1,0).dtype
cp.where(a>3,a,i.reshape(3,4)).dtype
cp.where(a>3,h[0],a).dtype
cp.einsum('ij->i',a,out=cp.empty(3,'float32'))
cp.einsum('ij,kj->ik',a,a)
cp.einsum('ij->j',a)
cp.take(a,cp.arange(2),mode='clip')
cp.take(a,cp.asarray([4,-1]),axis=0)
cp.take(a,cp.arange(2),axis=0,out=cp.empty((2,4)))
cp.take(a,cp.arange(2),axis=0,out=cp.empty((2,4),'float32'))
cp.take(a,i[3])
cp.take(a,2)
cp.take(a,cp.asarray([[0],[5]]))
cp.sum(a,where=a>1)
cp.sum(a,initial=0)
cp.sum(a,axis=1,out=cp.empty(3))
cp.sum(a,axis=1,keepdims=True,out=cp.empty((3,1),'float32'))
cp.sum(a,axis=1,out=cp.empty((3,1),'float32'))
cp.sum(i)
cp.sum(a>2)
cp.sum(i.astype('int32')).dtype
cp.mean(i)
cp.mean(h).dtype
cp.amax(a,axis=(0,1),keepdims=True)
cp.argmax(a,axis=1,out=cp.empty(3,'int64'))
cp.argmax(a,axis=1,out=cp.empty(3,'int32'))
cp.argmax(a,axis=1).dtype
cp.argmax(a>3)
cp.argmax(a[:0])
cp.maximum.reduce(a)
cp.add.reduce(a,axis=1)
cp.multiply.at(a,0,2)
cp.add.at(f,cp.asarray([0,0,1]),cp.ones(3,'float32'))
cp.add.at(cp.zeros(3,'float64'),cp.asarray([0,0,1]),1.0)
cp.add.at(cp.zeros(3,'uint64'),cp.asarray([0,0,1]),1)
cp.add.at(a,(slice(None),cp.asarray([0,0])),1)
cp.maximum.at(cp.full(3,-1,'int32'),cp.asarray([0,0,1]),cp.arange(3,dtype='int32'))
cp.geomspace
a.tostring
range(i[1])
cp.empty(3,'S4')
cp.nonzero(a)
a[a>3]
cp.unique(i)
cp.bincount(i)
cp.linspace(0,1,3)
cp.arange(3).dtype
cp.arange(3.0).dtype
cp.arange(0,12,4,dtype='float32')
cp.full((2,),3).dtype
cp.full((2,),np.float32(3)).dtype
cp.full((2,),a[0,1])
cp.ascontiguousarray(a[0,0]).shape
cp.asarray(3.0).shape
cp.asarray([a[0,0],a[0,1]])
cp.array([1,2],'int32')
a.astype('int32')
a.astype('float32') is a
a.astype('float32',copy=False) is a
a.view('int32').dtype
a[:, 1:3].view('int64')
a.T.view('int64')
a.T.reshape(-1).base is a
a.T.ravel().base
a.T.copy().strides
a.T.copy('K').strides
(a.T+1).strides
(a.T*a.T).strides
a.T.astype('float64').strides
cp.empty_like(a.T).strides
a.fill(i[3])
a.fill(np.ones(1))
a.item()
a[0,0].item()
float(a[0,1])
a.flags.c_contiguous
a.T.flags.f_contiguous
a.flags['C_CONTIGUOUS']
a.flags.writeable
hasattr(a,'__array_interface__')
hasattr(a,'ctypes')
a.nbytes
len(a)
[b.shape for b in a]
cp.concatenate([a,a],axis=1).shape
cp.concatenate([a,a],out=cp.empty((6,4),'float32')).shape
cp.concatenate([a,np.ones((3,4))])
cp.stack([a,a]).shape
cp.moveaxis(a,0,1).shape
cp.expand_dims(a,0).base is a
cp.broadcast_to(a,(2,3,4)).strides
cp.broadcast_to(a,(2,3,4)).base is a
cp.roll(a,1,axis=0)
cp.roll(a,[1,2],axis=(0,1))
cp.tri(3)
cp.kron(a,a).shape
cp.split(a,2,axis=1)[1]
cp.argsort(-a,axis=-1,kind='stable')
cp.take_along_axis(a,cp.asarray([[0],[1],[2]]),-1)
cp.take_along_axis(a,cp.asarray([[5],[1],[2]]),-1)
cp.cumsum(a,axis=1)
cp.cumsum(a,axis=1,out=cp.empty((3,4),'float32'))
cp.trunc(a)
cp.isnan(a).any()
cp.all(a>=0)
cp.any(a>3,axis=1,keepdims=True)
(a>3).any(axis=1).sum()
cp.matmul(a,a.T,out=cp.empty((3,3)))
cp.matmul(a,a.T,out=cp.empty((3,6),'float32')[:, ::2])
cp.matmul(i,i)
cp.matmul(a,cp.ones(4,'float32'))
cp.matmul(cp.ones((2,3,4),'float32'),a.T).shape
cp.matmul(a,a.T,out=cp.empty((2,3,3),'float32'))
cp.matmul(a,a.T.astype('float64')).dtype
cp.matmul(h.reshape(1,2),h).dtype
cp.prod(a)
cp.ones(3,bool).sum().dtype
cp.may_share_memory(a,a[1:])
cp.copysign(a,-1)
cp.floor_divide(a,2)
cp.fmod(a,2)
cp.remainder(a,2)
cp.expm1(a)
cp.nan_to_num(a)
cp.zeros((2,2)).dtype
cp.lib.stride_tricks.as_strided(a,(3,3,2),(16,4,4))
a[cp.asarray(1)]
a[cp.asarray([True,False,True])]
a[..., None].shape
a[None].shape
a[(cp.arange(2),)].shape
a[:, cp.asarray([[0],[1]]), None].shape
a[cp.arange(2),:,None].shape
a.reshape(3,2,2)[cp.arange(2), :, cp.arange(2)].shape
a.swapaxes(0,1).shape
a.max(axis=1)
a.clip(1,3)
a.round()
a.std()
a.repeat(2,axis=0).shape
cp.repeat(a,2,axis=1).shape
cp.tile(a,(2,1)).shape
cp.pad(a,1).shape
cp.dot(a,a.T)
cp.tensordot(a,a,axes=([1],[1]))
cp.outer(i,i).shape
cp.count_nonzero(a)
cp.isin(i,cp.arange(3))
cp.searchsorted(i,cp.asarray([3]))
cp.sort(a,axis=0)
cp.ndim(a)
cp.result_type(a,i)
cp.array_equal(a,a)
cp.absolute(i-5)
~(a>2)
a>2
a==a
a!=a
-a
a**2
a//2
a%2
2**a
a@a.T
abs(a-3)
bool(a[0,0])
a[1].data.ptr-a.data.ptr
a.__cuda_array_interface__['strides']
a.T.__cuda_array_interface__['strides']
cp.invert(a>2)
cp.less_equal(a,np.int64(3))
cp.equal(i[:,None],cp.arange(3),out=cp.empty((12,3),'float32'))
cp.logical_and((a>100).any(),i[0]==0)
cp.minimum(a,a.T[:3,:3])
cp.add(a,a,a)
cp.exp(a,out=a)
cp.exp(a,a)
cp.sum(a,(0,1),None,None,True).shape
cp.mean(a,axis=(0,1),keepdims=True,out=cp.empty((1,1),'float32'))
cp.max(a,axis=0)
cp.arccos(a/12)
cp.log1p(a)
cp.round(a,1)
cp.fix(a)
cp.diag(i[:3])
cp.vstack([a,a]).shape
cp.bitwise_and(i,3)
cp.left_shift(i,1)
cp.hypot(a,a)
cp.square(a)
cp.reciprocal(a+1)
"""


def outcomes(cp):
    """expression -> what came out: its value, and the arrays `a`, `i` and `f` afterwards; or the error's type."""
    return {expression: outcome(cp, expression) for expression in EXPRESSIONS.strip().split("\n")}


def outcome(cp, expression):
    names = {
        "cp": cp,
        "np": np,
        "a": cp.asarray(np.arange(12, dtype="float32").reshape(3, 4)),
        "i": cp.asarray(np.arange(12)),
        "h": cp.ones(2, "float16"),
        "f": cp.zeros(3, "float32"),
    }
    try:
        value = eval(expression, names)
    except Exception as error:
        return type(error).__name__
    changed = [name for name in "aif" if not np.array_equal(names[name].get(), outcome_of_nothing(name))]
    return [plain(cp, value), {name: plain(cp, names[name]) for name in changed}]


def outcome_of_nothing(name):
    return {"a": np.arange(12).reshape(3, 4), "i": np.arange(12), "f": np.zeros(3)}[name]


def plain(cp, value):
    """A value as JSON has it."""
    if isinstance(value, cp.ndarray):
        numbers = value.get()
        numbers = np.array([float(f"{number:.5g}") for number in numbers.ravel().astype(float)])
        return [value.dtype.name, list(value.shape), numbers.tolist()]
    if isinstance(value, (list, tuple)):
        return [plain(cp, one) for one in value]
    return value if value is None or isinstance(value, (bool, int, float)) else str(value)
