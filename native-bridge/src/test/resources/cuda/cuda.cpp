/*
 * Stands in for libcuda.so.1: memory is the host's, handles are odd values that must come back, and kernels are those that the stand-in
 * for NVRTC compiled for the CPU. Everything is done when it is asked for, but for launches that are captured for a graph. Where a
 * GPU would go wrong, this says so: memory that is freed twice or touched beyond its end, a graph that is begun twice, a stream that
 * is not one.
 */
#include <dlfcn.h>
#include <map>
#include <mutex>
#include <set>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <string>
#include <vector>

#define DEVICE 7
#define CONTEXT ((void *)0x1234)

typedef unsigned long long pointer;
typedef int (*Launch)(unsigned, unsigned, unsigned, unsigned, void **);

static const size_t ALL_BYTES = 1ull << 30;
static std::mutex lock;
static std::map<pointer, size_t> memory;
static std::map<void *, size_t> pinned;
static std::set<void *> handles;
static thread_local void *current;

struct Noted {
    Launch launch;
    unsigned sizes[4];
    std::vector<unsigned long long> values;
};

struct Stream {
    bool captures = false;
    std::vector<Noted> noted;
};

struct Graph {
    std::vector<Noted> noted;
};

struct Module {
    void *library;
};

struct Function {
    Launch launch;
    std::string name;
};

static const int INVALID = 1;
static const int OUT_OF_MEMORY = 2;
static const int ILLEGAL_ADDRESS = 700;

static bool known(void *handle) {
    std::lock_guard<std::mutex> guard(lock);
    return handles.count(handle) > 0;
}

static void *made(void *handle) {
    std::lock_guard<std::mutex> guard(lock);
    handles.insert(handle);
    return handle;
}

static bool gone(void *handle) {
    std::lock_guard<std::mutex> guard(lock);
    return handles.erase(handle) > 0;
}

/* Whether so many bytes from there on belong to one piece of device memory. */
static bool ours(pointer at, size_t bytes) {
    std::lock_guard<std::mutex> guard(lock);
    auto after = memory.upper_bound(at);
    if (after == memory.begin()) {
        return false;
    }
    --after;
    return at + bytes <= after->first + after->second;
}

static bool is_pinned(const void *at, size_t bytes) {
    std::lock_guard<std::mutex> guard(lock);
    auto after = pinned.upper_bound((void *)at);
    if (after == pinned.begin()) {
        return false;
    }
    --after;
    return (const char *)at + bytes <= (const char *)after->first + after->second;
}

extern "C" {

int cuInit(unsigned flags) { return flags != 0; }

int cuDriverGetVersion(int *version) {
    *version = 13010;
    return 0;
}

int cuGetErrorName(int code, const char **text) {
    *text = code == OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : "CUDA_ERROR_STAND_IN";
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
    *bytes = ALL_BYTES;
    return device != DEVICE;
}

int cuDeviceGetAttribute(int *value, int attribute, int device) {
    const char *capability = getenv("SHOAL_STAND_IN_CAPABILITY"); /* 90 is 9.0 */
    int number = capability ? atoi(capability) : 90;
    *value = attribute == 75 ? number / 10 : attribute == 76 ? number % 10 : 0;
    return device != DEVICE;
}

int cuDevicePrimaryCtxRetain(void **context, int device) {
    *context = CONTEXT;
    return device != DEVICE;
}

int cuDevicePrimaryCtxRelease_v2(int device) { return device != DEVICE; }

int cuCtxSetCurrent(void *context) {
    current = context;
    return context != CONTEXT;
}

int cuMemGetInfo_v2(size_t *bytes, size_t *total) {
    std::lock_guard<std::mutex> guard(lock);
    *total = ALL_BYTES;
    *bytes = ALL_BYTES;
    for (auto &piece : memory) {
        *bytes -= piece.second;
    }
    return current != CONTEXT;
}

int cuMemAlloc_v2(pointer *at, size_t bytes) {
    std::lock_guard<std::mutex> guard(lock);
    if (current != CONTEXT || bytes == 0) {
        return INVALID;
    }
    /* No piece ends where another begins. */
    void *piece = aligned_alloc(256, (bytes + 255) / 256 * 256 + 256);
    memset(piece, 0xff, bytes);
    *at = (pointer)piece;
    memory[*at] = bytes;
    return 0;
}

int cuMemFree_v2(pointer at) {
    std::lock_guard<std::mutex> guard(lock);
    if (current != CONTEXT || memory.erase(at) == 0) {
        return INVALID;
    }
    free((void *)at);
    return 0;
}

int cuMemHostAlloc(void **at, size_t bytes, unsigned flags) {
    std::lock_guard<std::mutex> guard(lock);
    if (current != CONTEXT || flags != 1) {
        return INVALID;
    }
    *at = malloc(bytes);
    pinned[*at] = bytes;
    return 0;
}

int cuMemFreeHost(void *at) {
    std::lock_guard<std::mutex> guard(lock);
    if (pinned.erase(at) == 0) {
        return INVALID;
    }
    free(at);
    return 0;
}

int cuStreamCreate(void **stream, unsigned flags) {
    *stream = made(new Stream());
    return current != CONTEXT || flags != 1;
}

int cuStreamDestroy_v2(void *stream) { return gone(stream) ? 0 : INVALID; }

int cuStreamSynchronize(void *stream) { return !known(stream) || ((Stream *)stream)->captures ? INVALID : 0; }

int cuEventCreate(void **event, unsigned flags) {
    *event = made(new int());
    return flags != 2;
}

int cuEventDestroy_v2(void *event) { return gone(event) ? 0 : INVALID; }

int cuEventRecord(void *event, void *stream) { return known(event) && known(stream) ? 0 : INVALID; }

int cuEventSynchronize(void *event) { return known(event) ? 0 : INVALID; }

int cuMemcpyHtoDAsync_v2(pointer to, const void *from, size_t bytes, void *stream) {
    if (!known(stream) || ((Stream *)stream)->captures || !is_pinned(from, bytes)) {
        return INVALID;
    }
    if (!ours(to, bytes)) {
        return ILLEGAL_ADDRESS;
    }
    memcpy((void *)to, from, bytes);
    return 0;
}

int cuMemcpyDtoHAsync_v2(void *to, pointer from, size_t bytes, void *stream) {
    if (!known(stream) || ((Stream *)stream)->captures || !is_pinned(to, bytes)) {
        return INVALID;
    }
    if (!ours(from, bytes)) {
        return ILLEGAL_ADDRESS;
    }
    memcpy(to, (void *)from, bytes);
    return 0;
}

int cuMemcpyDtoDAsync_v2(pointer to, pointer from, size_t bytes, void *stream) {
    if (!known(stream) || ((Stream *)stream)->captures) {
        return INVALID;
    }
    if (!ours(from, bytes) || !ours(to, bytes)) {
        return ILLEGAL_ADDRESS;
    }
    memcpy((void *)to, (void *)from, bytes);
    return 0;
}

int cuModuleLoadData(void **module, const void *image) {
    void *library = dlopen((const char *)image, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        return 200;
    }
    *module = made(new Module{library});
    return 0;
}

int cuModuleUnload(void *module) { return gone(module) ? 0 : INVALID; }

int cuModuleGetFunction(void **function, void *module, const char *name) {
    if (!known(module)) {
        return INVALID;
    }
    void *launch = dlsym(((Module *)module)->library, (std::string("launch_") + name).c_str());
    *function = made(new Function{(Launch)launch, name});
    return launch ? 0 : 500;
}

static int run(Noted &noted) {
    void *parameters[64];
    for (size_t i = 0; i < noted.values.size(); i++) {
        parameters[i] = &noted.values[i];
    }
    return noted.launch(noted.sizes[0], noted.sizes[1], noted.sizes[2], noted.sizes[3], parameters);
}

int cuLaunchKernel(
        void *function, unsigned groups0, unsigned groups1, unsigned groups2, unsigned items0, unsigned items1, unsigned items2,
        unsigned shared, void *stream, void **parameters, void **extra) {
    if (!known(function) || !known(stream) || groups2 != 1 || items2 != 1 || shared || extra || groups1 > 65535) {
        return INVALID;
    }
    const char *refused = getenv("SHOAL_STAND_IN_REFUSES");
    if (refused && ((Function *)function)->name == refused) {
        return ILLEGAL_ADDRESS;
    }
    Launch launch = ((Function *)function)->launch;
    if (!((Stream *)stream)->captures) {
        return launch(groups0, groups1, items0, items1, parameters);
    }
    Noted noted{launch, {groups0, groups1, items0, items1}, {}};
    for (int i = 0; i < 32; i++) {
        noted.values.push_back(*(unsigned long long *)parameters[i]); /* the caller has room for 32 */
    }
    ((Stream *)stream)->noted.push_back(noted);
    return 0;
}

int cuStreamBeginCapture_v2(void *stream, int mode) {
    if (!known(stream) || ((Stream *)stream)->captures || mode != 1) {
        return INVALID;
    }
    ((Stream *)stream)->captures = true;
    return 0;
}

int cuStreamEndCapture(void *stream, void **graph) {
    if (!known(stream) || !((Stream *)stream)->captures) {
        return INVALID;
    }
    *graph = made(new Graph{((Stream *)stream)->noted});
    ((Stream *)stream)->captures = false;
    ((Stream *)stream)->noted.clear();
    return 0;
}

int cuGraphInstantiateWithFlags(void **executable, void *graph, unsigned long long flags) {
    if (!known(graph) || flags) {
        return INVALID;
    }
    *executable = made(new Graph(*(Graph *)graph));
    return 0;
}

int cuGraphLaunch(void *executable, void *stream) {
    if (!known(executable) || !known(stream)) {
        return INVALID;
    }
    for (Noted &noted : ((Graph *)executable)->noted) {
        int code = run(noted);
        if (code) {
            return code;
        }
    }
    return 0;
}

int cuGraphDestroy(void *graph) { return gone(graph) ? 0 : INVALID; }

int cuGraphExecDestroy(void *executable) { return gone(executable) ? 0 : INVALID; }

/* For tests: what is open still. */
int stand_in_open(void) {
    std::lock_guard<std::mutex> guard(lock);
    return (int)(memory.size() + pinned.size());
}
}
