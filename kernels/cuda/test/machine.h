// Machines that lack something, which the emulator alone can be.
#pragma once
#include "emulator/cuda.h"

namespace millrace::test {

// Cuts what the machine may give, and puts it back.
struct Machine {
  emulator::Machine before = emulator::machine();
  ~Machine() {
    const emulator::Machine now = emulator::machine();
    emulator::machine() = before;
    emulator::machine().live = now.live;
    emulator::machine().taken = now.taken;
    emulator::machine().captured = now.captured;
  }
};

}  // namespace millrace::test
