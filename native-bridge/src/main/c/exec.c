/* For NativeExec.java. By JNI: a JVM that has just started takes a tenth of a second to bind a function in Java. */
#include <unistd.h>

#include "shoal.h"

/* path: text; arguments: addresses of texts, null at the end. Returns only if that failed. */
EXPORT int32_t Java_shoal_bridge_library_NativeExec_execv(void *environment, void *type, int64_t path, int64_t arguments) {
    (void)environment;
    (void)type;
    return execv((const char *)(intptr_t)path, (char *const *)(intptr_t)arguments);
}
