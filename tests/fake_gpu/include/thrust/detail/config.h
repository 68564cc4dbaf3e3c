// All that the complex numbers of CuPy 13 take from Thrust.
#pragma once

#include "config/namespace.h"
