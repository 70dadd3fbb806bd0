/* Built with -l:libOpenCL.so.1, whose other functions are found through this library. */
#include <dlfcn.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#define CL_DEVICE_NOT_AVAILABLE -2

typedef int (*Launch)(
        void *, void *, unsigned, const size_t *, const size_t *, const size_t *, unsigned, const void *, void *);

int clEnqueueNDRangeKernel(
        void *queue, void *kernel, unsigned dimensions, const size_t *offset, const size_t *all, const size_t *group,
        unsigned waits, const void *events, void *event) {
    static Launch launch;
    const char *when = getenv("SHOAL_BREAKS_WHEN");
    if (!launch) {
        launch = (Launch)dlsym(dlopen("libOpenCL.so.1", RTLD_NOW), "clEnqueueNDRangeKernel");
    }
    if (when && access(when, F_OK) == 0) {
        return CL_DEVICE_NOT_AVAILABLE;
    }
    return launch(queue, kernel, dimensions, offset, all, group, waits, events, event);
}
