#include "shoal.h"

int32_t shoal_version(void) { return SHOAL_VERSION; }
