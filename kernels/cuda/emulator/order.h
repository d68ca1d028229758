// In which order launches run. One that is launched early begins before the one before it has run, as far as it waits for it: what it reads too soon
// is not there yet, and what it writes too soon is written over.
#pragma once
#include <functional>

namespace millrace::emulator {

// The next launch of this thread. Of three that may, two begin early; the last waits for what comes, or for somebody who wants its results.
void in_order(std::function<void()> run, bool early);

// Runs what waits. An Error when it fails.
void finish_launches();

// Forgets what waits: after a fault nothing runs any more.
void drop_launches();

}  // namespace millrace::emulator
