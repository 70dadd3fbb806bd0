/*
 * Stands in for libnvrtc.so: compiles kernels for the CPU, behind emulator.h. What it gives as PTX is the path of a library that has, for
 * each kernel, a function launch_<name>. $SHOAL_STAND_IN is the directory to work in, where emulator.h lies.
 */
#include <regex>
#include <fstream>
#include <sstream>
#include <string>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct Program {
    std::string source;
    std::string name;
    std::string result;
    std::string log = "no log";
};

static std::string read(const std::string &path) {
    std::ifstream in(path);
    std::stringstream text;
    text << in.rdbuf();
    return text.str();
}

extern "C" {

int nvrtcVersion(int *major, int *minor) {
    *major = 13;
    *minor = 0;
    return 0;
}

int nvrtcGetNumSupportedArchs(int *count) {
    *count = 4;
    return 0;
}

int nvrtcGetSupportedArchs(int *found) {
    const int all[] = {75, 80, 90, 120};
    memcpy(found, all, sizeof all);
    return 0;
}

int nvrtcCreateProgram(
        Program **program, const char *source, const char *name, int headers, const char *const *texts, const char *const *names) {
    *program = new Program{source, name};
    return headers != 0 || texts || names;
}

int nvrtcCompileProgram(Program *program, int count, const char *const *options) {
    std::string architecture = options[0];
    if (count != 2 || (architecture != "--gpu-architecture=compute_90" && architecture != "--gpu-architecture=compute_75")
        || strcmp(options[1], "--fmad=false") != 0) {
        return 5;
    }
    std::string directory = getenv("SHOAL_STAND_IN");
    std::string base = directory + "/" + program->name + std::to_string(std::hash<std::string>()(program->source));
    struct stat there;
    program->result = base + ".so";
    if (stat(program->result.c_str(), &there) == 0) {
        return 0;
    }
    std::ofstream(base + ".cpp") << "#include \"" << directory << "/emulator.h\"\n" << program->source;
    std::string compiler = "c++ -std=c++17 -w -fPIC -ffp-contract=off ";
    if (system((compiler + "-E -P " + base + ".cpp -o " + base + ".i 2>" + base + ".log").c_str()) != 0) {
        program->log = read(base + ".log");
        return 6;
    }
    std::string text = read(base + ".i");
    std::regex kernel("extern \"C\" __attribute__\\(\\(used\\)\\) void ([a-z0-9_]+)\\(");
    std::ofstream more(base + ".cpp", std::ios::app);
    for (std::sregex_iterator at(text.begin(), text.end(), kernel), end; at != end; ++at) {
        std::string name = (*at)[1];
        more << "\nextern \"C\" int launch_" << name
             << "(unsigned groups0, unsigned groups1, unsigned items0, unsigned items1, void **parameters) {\n    return "
                "emulator::launch("
             << name << ", groups0, groups1, items0, items1, parameters);\n}\n";
    }
    more.close();
    if (system((compiler + "-O1 -shared " + base + ".cpp -o " + base + ".part 2>" + base + ".log").c_str()) != 0) {
        program->log = read(base + ".log");
        return 6;
    }
    return rename((base + ".part").c_str(), program->result.c_str());
}

int nvrtcGetPTXSize(Program *program, size_t *bytes) {
    *bytes = program->result.size() + 1;
    return 0;
}

int nvrtcGetPTX(Program *program, char *text) {
    strcpy(text, program->result.c_str());
    return 0;
}

int nvrtcGetProgramLogSize(Program *program, size_t *bytes) {
    *bytes = program->log.size() + 1;
    return 0;
}

int nvrtcGetProgramLog(Program *program, char *text) {
    strcpy(text, program->log.c_str());
    return 0;
}

int nvrtcDestroyProgram(Program **program) {
    delete *program;
    *program = 0;
    return 0;
}
}
