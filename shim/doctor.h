/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_SHIM_DOCTOR_H
#define SLUICE_SHIM_DOCTOR_H

#include <stdbool.h>

/* Role: `sluicectl doctor`: print what this host can do for sluice, line by line, each shortcoming with what
 * to type. Returns the number of things that keep sluice from working at all. */
int doctor(bool json);

#endif
