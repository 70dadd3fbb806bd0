/* Stands in for libcuda.so.1: memory is the host's, handles are odd numbers that must come back, two kernels are known. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEVICE 7
#define CONTEXT ((void *)0x1234)
#define MODULE ((void *)0x77)

typedef unsigned long long pointer;

int cuInit(unsigned flags) { return flags != 0; }

int cuDriverGetVersion(int *version) {
    *version = 13010;
    return 0;
}

int cuGetErrorName(int code, const char **text) {
    *text = "CUDA_ERROR_STAND_IN";
    return 0;
}

int cuDeviceGetCount(int *count) {
    *count = 1;
    return 0;
}

int cuDeviceGet(int *device, int ordinal) {
    *device = ordinal + DEVICE;
    return 0;
}

int cuDeviceGetName(char *name, int length, int device) {
    snprintf(name, length, "Stand-in");
    return device != DEVICE;
}

int cuDeviceTotalMem_v2(size_t *bytes, int device) {
    *bytes = 1ull << 30;
    return device != DEVICE;
}

int cuDeviceGetAttribute(int *value, int attribute, int device) {
    *value = attribute == 75 ? 9 : 0;
    return device != DEVICE;
}

int cuDevicePrimaryCtxRetain(void **context, int device) {
    *context = CONTEXT;
    return device != DEVICE;
}

int cuDevicePrimaryCtxRelease_v2(int device) { return device != DEVICE; }

int cuCtxSetCurrent(void *context) { return context != CONTEXT; }

int cuCtxSynchronize(void) { return 0; }

int cuMemGetInfo_v2(size_t *bytes, size_t *total) {
    *bytes = 1ull << 29;
    *total = 1ull << 30;
    return 0;
}

int cuMemAlloc_v2(pointer *at, size_t bytes) {
    *at = (pointer)malloc(bytes);
    return 0;
}

int cuMemFree_v2(pointer at) {
    free((void *)at);
    return 0;
}

int cuMemcpyHtoD_v2(pointer to, const void *from, size_t bytes) {
    memcpy((void *)to, from, bytes);
    return 0;
}

int cuMemcpyDtoH_v2(void *to, pointer from, size_t bytes) {
    memcpy(to, (void *)from, bytes);
    return 0;
}

int cuMemcpyDtoD_v2(pointer to, pointer from, size_t bytes) {
    memcpy((void *)to, (void *)from, bytes);
    return 0;
}

int cuModuleLoadData(void **module, const void *image) {
    *module = MODULE;
    return strncmp(image, "PTX of ", 7) != 0;
}

int cuModuleUnload(void *module) { return module != MODULE; }

int cuModuleGetFunction(void **function, void *module, const char *name) {
    *function = strdup(name);
    return module != MODULE;
}

int cuLaunchKernel(
        void *function, unsigned groups0, unsigned groups1, unsigned groups2, unsigned items0, unsigned items1, unsigned items2,
        unsigned shared, void *stream, void **parameters, void **extra) {
    if (groups1 != 1 || groups2 != 1 || items0 != 128 || items1 != 1 || items2 != 1 || shared || stream || extra) {
        return 1;
    }
    if (strcmp(function, "scale") == 0) {
        float *values = *(float **)parameters[0];
        float factor = *(float *)parameters[1];
        int count = *(int *)parameters[2];
        for (int i = 0; i < count; i++) {
            values[i] *= factor;
        }
        return groups0 * 128 < (unsigned)count;
    }
    if (strcmp(function, "select_rows") == 0) {
        float *in = *(float **)parameters[0];
        int *batch = *(int **)parameters[1];
        float *out = *(float **)parameters[2];
        int rows_at = *(int *)parameters[3];
        int width = *(int *)parameters[4];
        int count = *(int *)parameters[5];
        for (int i = 0; i < count; i++) {
            out[i] = in[batch[rows_at + i / width] * width + i % width];
        }
        return 0;
    }
    return 700;
}
