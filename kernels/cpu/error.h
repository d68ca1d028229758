// Failures inside the library; they become status and message at the C ABI.
#pragma once
#include <cstdarg>
#include <cstdio>
#include <string>

#include "millrace.h"

namespace millrace {

struct Error {
  int status;
  std::string message;
};

// Throws an Error with a printf-like message.
[[noreturn]] __attribute__((format(printf, 2, 3))) inline void fail(int status, const char* format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  throw Error{status, text};
}

}  // namespace millrace
