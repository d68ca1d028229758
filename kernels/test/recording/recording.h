// What a test says to the library that records, and reads from it. The state is that of the process.
#pragma once
#include <cstdint>

extern "C" {

// Forgets what was recorded, and what was to fail or to be pretended; models stay.
void recording_reset(void);

// The call of a function that comes after `before` others of it fails with a status and a message, once.
void recording_fail(const char* function, int32_t before, int32_t status, const char* message);

// The version of the ABI, and what mr_device and mr_memory say from now on.
void recording_pretend(int32_t version, int32_t device_status, int64_t free_bytes, int64_t weights, int64_t workspace);

// What was recorded, a line a call, the oldest first: the function, then name=value for each argument, values of an array between commas (of codes and
// factors of a weight, their sum). At most
// `size` bytes with the final 0; the bytes that it takes.
int64_t recording_read(char* out, int64_t size);

// Models that were made and not freed.
int64_t recording_models(void);
}
