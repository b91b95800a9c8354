"""What is asked of NVIDIA's driver itself: how much memory of a GPU is free, and for a stream that sessions share.

Both start the driver in this process, which does not survive a fork: so only processes that fork no more use them.
"""

import ctypes
import functools

NON_BLOCKING = 1  # a stream that does not wait for work of the default one


class _Memory(ctypes.Structure):
    """`nvmlMemory_t`."""

    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


def free_gpu_memory(gpu: int) -> int | None:
    """Bytes that no process uses on the GPU that CUDA gives this index; None where that cannot be found out.

    It is asked of NVML, which needs no CUDA context: one would take half a gigabyte. NVML numbers GPUs by their place
    on the bus, CUDA by speed and `CUDA_VISIBLE_DEVICES`: what they share is the bus id.
    """
    try:
        driver, management = ctypes.CDLL("libcuda.so.1"), ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return None
    device, handle, memory = ctypes.c_int(), ctypes.c_void_p(), _Memory()
    bus_id = ctypes.create_string_buffer(32)
    failed = (
        driver.cuInit(0)
        or driver.cuDeviceGet(ctypes.byref(device), gpu)
        or driver.cuDeviceGetPCIBusId(bus_id, len(bus_id), device)
        or management.nvmlInit_v2()
        or management.nvmlDeviceGetHandleByPciBusId_v2(bus_id, ctypes.byref(handle))
        or management.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory))
    )
    return None if failed else memory.free


@functools.cache
def shared_stream(gpu: int) -> int | None:
    """The address of one CUDA stream for all sessions of this process; None if the driver gives none.

    It lies in the context that CUDA's own libraries use, the primary one, and is there until the process ends.
    """
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    device, context, stream = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_void_p()
    failed = (
        driver.cuInit(0)
        or driver.cuDeviceGet(ctypes.byref(device), gpu)
        or driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), device)
        or driver.cuCtxPushCurrent_v2(context)
        or driver.cuStreamCreate(ctypes.byref(stream), NON_BLOCKING)
        or driver.cuCtxPopCurrent_v2(ctypes.byref(context))
    )
    return None if failed else stream.value
