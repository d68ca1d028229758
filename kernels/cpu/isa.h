// Which instruction sets this processor has.
#pragma once
#include "kernels.h"

namespace millrace {

bool isa_available(int isa);

// The best one, or the one that MILLRACE_ISA names; an Error when that is unknown or not there.
int isa_best();

const char* isa_name(int isa);

// Kernels of an instruction set (MR_ISA_AUTO: the best); an Error when it is not available. `exact`: none that round activations to bf16.
const Kernels& kernels_of(int isa, bool exact = false);

}  // namespace millrace
