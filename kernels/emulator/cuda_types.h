// intrinsics.cuh names the integer types before it includes cuda.h; the runtime does the same.
#pragma once
typedef signed char i8;
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
#include "cuda.h"
