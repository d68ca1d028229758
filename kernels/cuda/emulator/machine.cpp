// What a machine looks like where a test has the emulator in a process of its own: EMULATED_CUDA_MACHINE="NAME=NUMBER ..." with names of Machine.
#include <cstdlib>
#include <sstream>

#include "cuda.h"

namespace millrace::emulator {

Machine machine_of_environment() {
  Machine machine;
  const char* text = std::getenv("EMULATED_CUDA_MACHINE");
  std::istringstream words(text ? text : "");
  for (std::string word; words >> word;) {
    const size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    const long long value = equals == std::string::npos ? 1 : std::atoll(word.c_str() + equals + 1);
    if (name == "devices") machine.devices = static_cast<int>(value);
    else if (name == "driver") machine.driver = static_cast<int>(value);
    else if (name == "major") machine.major = static_cast<int>(value);
    else if (name == "free_bytes") machine.free_bytes = static_cast<size_t>(value);
    else if (name == "allocations") machine.allocations = static_cast<int>(value);
    else if (name == "fault") machine.fault = value != 0;
    else if (name == "hangs") machine.hangs = value != 0;
    else if (name == "swapped_columns") machine.swapped_columns = value != 0;
    else if (name == "truncates") machine.truncates = value != 0;
    else if (name == "unsteady") machine.unsteady = value != 0;
    else std::fprintf(stderr, "EMULATED_CUDA_MACHINE: there is no %s\n", word.c_str()), std::abort();
  }
  return machine;
}

}  // namespace millrace::emulator
