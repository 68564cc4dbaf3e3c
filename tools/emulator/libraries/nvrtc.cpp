// libnvrtc: programs are compiled by g++, through kernels.py. The "cubin" is a short text with the path of the module.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <spawn.h>
#include <sstream>
#include <string>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "properties.h"

namespace {

enum Result { OK = 0, INVALID_INPUT = 3, INVALID_PROGRAM = 4, INTERNAL = 11, NO_NAME = 10 };

struct Program {
    std::string source, log, image;
    std::vector<std::string> names;
    std::map<std::string, std::string> headers;
};

std::string read_file(const std::string &path) {
    std::ifstream file(path);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

void write_file(const std::string &path, const std::string &text) { std::ofstream(path, std::ios::binary) << text; }

int run(const std::vector<std::string> &command) {
    std::vector<char *> arguments;
    for (auto &word : command) arguments.push_back(const_cast<char *>(word.c_str()));
    arguments.push_back(nullptr);
    pid_t child;
    int status = 0;
    if (posix_spawn(&child, arguments[0], nullptr, nullptr, arguments.data(), environ)) return INTERNAL;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR) return INTERNAL;
    return WIFEXITED(status) ? WEXITSTATUS(status) : INTERNAL;
}

int compile(Program &program, const std::vector<std::string> &options) {
    const char *python = getenv("FLUIDLITE_EMULATOR_PYTHON"), *home = getenv("FLUIDLITE_EMULATOR_HOME");
    char folder[] = "/tmp/fluidlite-emulator-XXXXXX";
    if (!python || !home || !mkdtemp(folder)) {
        program.log = "the emulator was not started by run.py";
        return INTERNAL;
    }
    std::string at = folder;
    write_file(at + "/source.cu", program.source);
    std::string names;
    for (auto &name : program.names) names += name + '\0';
    write_file(at + "/names", names);
    // -S and -E: without sitecustomize, which would start the emulator in the compiler, too.
    std::vector<std::string> command = {python, "-S", "-E", std::string(home) + "/kernels.py", at + "/source.cu", at + "/result", at + "/names"};
    if (!program.headers.empty()) {
        for (auto &header : program.headers) {
            std::string path = at + "/include/" + header.first;
            for (size_t i = path.find('/', at.size() + 1); i != std::string::npos; i = path.find('/', i + 1))
                mkdir(path.substr(0, i).c_str(), 0700);
            write_file(path, header.second);
        }
        command.push_back("-I" + at + "/include");
    }
    command.insert(command.end(), options.begin(), options.end());
    int status = run(command);
    std::string result = read_file(at + "/result");
    if (status == OK)
        program.image = "// fluidlite emulator\n// " + result + "\n";
    else
        program.log = result;
    if (program.headers.empty()) {
        for (const char *file : {"/source.cu", "/result", "/names"}) unlink((at + file).c_str());
        rmdir(folder);
    }
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
        case INVALID_INPUT: return "NVRTC_ERROR_INVALID_INPUT";
        case INVALID_PROGRAM: return "NVRTC_ERROR_INVALID_PROGRAM";
        case 5: return "NVRTC_ERROR_INVALID_OPTION";
        case 6: return "NVRTC_ERROR_COMPILATION";
        case NO_NAME: return "NVRTC_ERROR_NAME_EXPRESSION_NOT_VALID";
        default: return "NVRTC_ERROR_INTERNAL_ERROR";
    }
}
API(nvrtcCreateProgram, Program **result, const char *source, const char *, int count, const char *const *headers,
    const char *const *names) {
    auto *program = new Program{source};
    for (int i = 0; i < count; i++) program->headers[names[i]] = headers[i];
    *result = program;
    return OK;
}
API(nvrtcDestroyProgram, Program **program) {
    delete *program;
    *program = nullptr;
    return OK;
}
API(nvrtcAddNameExpression, Program *program, const char *name) { program->names.push_back(name); return OK; }
API(nvrtcCompileProgram, Program *program, int count, const char *const *options) {
    return compile(*program, std::vector<std::string>(options, options + count));
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
