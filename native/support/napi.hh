// The only include of napi.h. The pragma makes its contents "system" code, which our warning
// options (all of them errors) then leave alone: -Wshadow fires in its inline functions.
#pragma once
#pragma GCC system_header
#include <napi.h>
