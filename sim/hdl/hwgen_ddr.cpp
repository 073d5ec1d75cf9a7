// Memory behind hwgen_ddr.sv: a file mapped into the simulator, which the host side reads and writes in place.

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "svdpi.h"

static unsigned char* memory = nullptr;
static long long memory_beats = 0;

// Maps the file and returns its size in 16-byte beats; without it there is nothing to simulate.
extern "C" long long hwgen_ddr_open(const char* path) {
    const int file = open(path, O_RDWR);
    struct stat info;
    if (file < 0 || fstat(file, &info) != 0) {
        fprintf(stderr, "ddr: cannot open %s\n", path);
        exit(1);
    }
    memory_beats = info.st_size / 16;
    void* place = mmap(nullptr, info.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (place == MAP_FAILED) {
        fprintf(stderr, "ddr: cannot map %s\n", path);
        exit(1);
    }
    memory = static_cast<unsigned char*>(place);
    return memory_beats;
}

// One beat; zero outside the memory.
extern "C" void hwgen_ddr_read(long long beat, svBitVecVal* data) {
    if (beat >= 0 && beat < memory_beats) {
        memcpy(data, memory + 16 * beat, 16);
    } else {
        memset(data, 0, 16);
    }
}

// The bytes of one beat that the strobes select; nothing outside the memory.
extern "C" void hwgen_ddr_write(long long beat, const svBitVecVal* data, int strobes) {
    if (beat < 0 || beat >= memory_beats) return;
    const unsigned char* bytes = reinterpret_cast<const unsigned char*>(data);
    for (int i = 0; i < 16; i++) {
        if (strobes >> i & 1) memory[16 * beat + i] = bytes[i];
    }
}
