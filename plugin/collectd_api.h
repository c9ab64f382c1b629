#pragma once

// collectd's headers lack extern "C" and need the sizes in its config.h: value_list_t has arrays of
// DATA_MAX_NAME_LEN.
extern "C" {
#include <collectd/core/daemon/collectd.h>

#include <collectd/core/daemon/plugin.h>
}

static_assert(DATA_MAX_NAME_LEN == 128,
              "collectd's headers were not configured as its packages are");
