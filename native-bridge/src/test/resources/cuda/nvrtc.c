/* Stands in for libnvrtc.so: what it makes of a source is "PTX of " and the source. */
#include <stdlib.h>
#include <string.h>

int nvrtcCreateProgram(
        void **program, const char *source, const char *name, int headers, const char *const *texts, const char *const *names) {
    *program = strdup(source);
    return headers != 0 || texts || names || strcmp(name, "layers.cu") != 0;
}

int nvrtcCompileProgram(void *program, int count, const char *const *options) {
    return count != 2 || strcmp(options[0], "--gpu-architecture=compute_75") != 0 || strcmp(options[1], "--fmad=false") != 0;
}

int nvrtcGetPTXSize(void *program, size_t *bytes) {
    *bytes = strlen(program) + 8;
    return 0;
}

int nvrtcGetPTX(void *program, char *text) {
    strcpy(text, "PTX of ");
    strcat(text, program);
    return 0;
}

int nvrtcGetProgramLogSize(void *program, size_t *bytes) {
    *bytes = 4;
    return 0;
}

int nvrtcGetProgramLog(void *program, char *text) {
    strcpy(text, "log");
    return 0;
}

int nvrtcDestroyProgram(void **program) {
    free(*program);
    *program = 0;
    return 0;
}
