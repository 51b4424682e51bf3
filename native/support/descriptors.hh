// Closes every descriptor from 3 up, but for a few. Shared by the launcher (descriptors left open by
// the caller) and by the child of a launch (CVE-2024-21626 is what a forgotten one can cost).
// Runs between fork and exec: no allocation, no locks, raw calls where glibc needs 2.34.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace jacamar {

/// Descriptors to leave open, ascending; -1 stands for none.
using Kept = std::array<int, 2>;

/// close_range(2), Linux 5.9; Enterprise Linux 8 may lack it.
[[nodiscard]] inline bool close_by_range(const Kept& kept) noexcept {
  unsigned first = 3;
  for (const int descriptor : kept) {
    const auto keep = static_cast<unsigned>(descriptor);
    if (descriptor < 3) continue;
    if (keep > first && syscall(SYS_close_range, first, keep - 1, 0) != 0) return false;
    first = keep + 1;
  }
  return syscall(SYS_close_range, first, UINT_MAX, 0) == 0;
}

/// The number a /proc/self/fd entry is named after; -1 for "." and "..".
[[nodiscard]] inline int descriptor_number(const char* name) noexcept {
  int number = 0;
  for (const char* digit = name; *digit != '\0'; ++digit) {
    if (*digit < '0' || *digit > '9') return -1;
    number = number * 10 + (*digit - '0');
  }
  return number;
}

/// One pass over /proc/self/fd. Returns how many were closed, or -1. The list is read by raw
/// getdents64, because opendir(3) allocates.
[[nodiscard]] inline int close_listed(int directory, const Kept& kept) noexcept {
  alignas(dirent64) std::array<char, 4096> buffer{};
  int closed = 0;
  for (;;) {
    const long bytes = syscall(SYS_getdents64, directory, buffer.data(), buffer.size());
    if (bytes <= 0) return bytes < 0 ? -1 : closed;
    for (std::size_t at = 0; at < static_cast<std::size_t>(bytes);) {
      // SAFETY: the kernel lays out whole dirent64 records, each aligned to 8 bytes.
      const auto* entry = reinterpret_cast<const dirent64*>(buffer.data() + at);
      at += entry->d_reclen;
      const int number = descriptor_number(entry->d_name);
      if (number < 3 || number == directory || std::find(kept.begin(), kept.end(), number) != kept.end()) continue;
      if (close(number) == 0) ++closed;
    }
  }
}

/// The way without close_range(2). Without /proc it fails: a loop to the limit would miss
/// descriptors opened before the limit was lowered.
[[nodiscard]] inline bool close_by_list(const Kept& kept) noexcept {
  const int directory = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return false;
  int closed = 0;
  do {
    closed = lseek(directory, 0, SEEK_SET) == 0 ? close_listed(directory, kept) : -1;
  } while (closed > 0);
  const int error = errno;
  close(directory);
  errno = error;
  return closed == 0;
}

/// Leaves 0, 1, 2 and `kept`. False, with errno, when that cannot be assured.
[[nodiscard]] inline bool close_all_but(Kept kept) noexcept {
  std::sort(kept.begin(), kept.end());
  return close_by_range(kept) || close_by_list(kept);
}

}  // namespace jacamar
