/* Two processors as NVIDIA's management library would describe them; the second one does not tell its power. */
#include <stdio.h>
static int devices[2];
int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlDeviceGetCount_v2(unsigned *n) { *n = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **device) { *device = &devices[i]; return i < 2 ? 0 : 2; }
static int index_of(void *device) { return (int)((int *)device - devices); }
int nvmlDeviceGetName(void *device, char *out, unsigned n) { snprintf(out, n, "Fake %d", index_of(device)); return 0; }
int nvmlDeviceGetUUID(void *device, char *out, unsigned n) { snprintf(out, n, "GPU-%d", index_of(device)); return 0; }
int nvmlDeviceGetUtilizationRates(void *device, unsigned *out) { out[0] = 37 + index_of(device); out[1] = 5; return 0; }
int nvmlDeviceGetMemoryInfo(void *device, unsigned long long *out) {
  out[0] = 80ull << 30; out[1] = 60ull << 30; out[2] = (20ull << 30) + index_of(device); return 0;
}
int nvmlDeviceGetPowerUsage(void *device, unsigned *out) { *out = 123456; return index_of(device) == 1 ? 3 : 0; }
int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *out) { *out = 61 + sensor; return 0; }
