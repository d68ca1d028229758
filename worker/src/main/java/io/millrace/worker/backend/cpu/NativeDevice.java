package io.millrace.worker.backend.cpu;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.backend.ModelRuntime;

/** Devices that have a library of kernels, and what their failures are called. */
enum NativeDevice {
    CPU(
            "CPU kernels",
            "MR-CPU-001",
            "MR-CPU-002",
            "MR-CPU-003",
            "Build them again (./millrace build), or use --engine torch.",
            "Use --engine torch."),
    CUDA(
            "CUDA kernels",
            "MR-CUDA-001",
            "MR-CUDA-002",
            "MR-CUDA-003",
            "Build them again (kernels/cuda/build.sh), or use --engine cpu.",
            "Use --engine cpu.");

    private final String kernels;
    private final String notLoadable;
    private final String unsupported;
    private final String failed;
    private final String rebuild;
    private final String instead;

    NativeDevice(
            String kernels, String notLoadable, String unsupported, String failed, String rebuild, String instead) {
        this.kernels = kernels;
        this.notLoadable = notLoadable;
        this.unsupported = unsupported;
        this.failed = failed;
        this.rebuild = rebuild;
        this.instead = instead;
    }

    /** The library is not where it should be. */
    MillraceException notFound(String message) {
        return new MillraceException(notLoadable, message);
    }

    /** The library is there and cannot be loaded. */
    MillraceException notLoadable(String what, Throwable cause) {
        return new MillraceException(notLoadable, what + ". " + rebuild, cause);
    }

    /** What the kernels, or the machine, have not got. */
    MillraceException unsupported(String message) {
        String remedy = message.contains("--engine") ? "." : ". " + instead;
        return new MillraceException(unsupported, "The " + kernels + " cannot run this: " + message + remedy);
    }

    /** Nothing runs on the device any more in this process. */
    MillraceException lost(String message) {
        return new MillraceException(
                ModelRuntime.DEVICE_LOST,
                "The " + kernels + " lost their device: " + message
                        + ". This process can do nothing more on it: the worker hands its requests to others and ends with status 3."
                        + " Start it again; if it happens again, look at nvidia-smi and dmesg, or use --engine cpu.");
    }

    MillraceException failed(String message) {
        return new MillraceException(
                failed, "The " + kernels + " failed: " + message + ". This is a fault of ours; please report it.");
    }
}
