// Random stored weights.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace millrace::bench {

// Number of a type; an Error when there is none of that name.
int type_of(const std::string& name);

// Random codes with small factors, so that activations stay ordinary.
std::vector<uint8_t> stored(int type, int64_t values);

double median(std::vector<double> values);

}  // namespace millrace::bench
