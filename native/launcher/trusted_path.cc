// Each directory from / down, on open descriptors, through no symbolic link.

#include "trusted_path.hh"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace jacamar {
namespace {

[[nodiscard]] std::optional<std::string> broken_rule(const struct stat& status, bool last, Trust trust) {
  if (last && !S_ISREG(status.st_mode)) return "must be a regular file";
  if (!last && !S_ISDIR(status.st_mode)) return "must be a directory, not a link";
  if (status.st_uid != 0 && !(trust == Trust::own_too && status.st_uid == geteuid())) return "must be owned by root";
  const bool open_to_others = (status.st_mode & (S_IWGRP | S_IWOTH)) != 0;
  const bool sticky = S_ISDIR(status.st_mode) && (status.st_mode & S_ISVTX) != 0 && status.st_uid == 0;
  if (open_to_others && !sticky) return "must not be writable by group or others";
  return std::nullopt;
}

/// Judges what `at` refers to; closes it if it is no good.
[[nodiscard]] std::optional<Distrust> judge(int at, const std::string& path, bool last, Trust trust) {
  struct stat status {};
  if (at < 0 || fstat(at, &status) != 0) return Distrust{path, std::strerror(errno)};
  auto rule = broken_rule(status, last, trust);
  if (!rule) return std::nullopt;
  close(at);
  return Distrust{path, *std::move(rule)};
}

}  // namespace

std::variant<int, Distrust> open_trusted(const std::string& path, int flags, Trust trust) {
  int at = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (auto found = judge(at, "/", false, trust)) return *std::move(found);
  for (std::size_t begin = 1; begin <= path.size();) {
    const auto end = std::min(path.find('/', begin), path.size());
    const bool last = end == path.size();
    const int how = (last ? flags : O_PATH) | O_NOFOLLOW | O_CLOEXEC;
    const int next = openat(at, path.substr(begin, end - begin).c_str(), how);
    const int error = errno;
    close(at);
    errno = error;
    if (auto found = judge(next, path.substr(0, end), last, trust)) return *std::move(found);
    at = next;
    begin = end + 1;
  }
  return at;
}

std::optional<Distrust> distrust(const std::string& path, Trust trust) {
  auto opened = open_trusted(path, O_PATH, trust);
  if (auto* found = std::get_if<Distrust>(&opened)) return std::move(*found);
  close(std::get<int>(opened));
  return std::nullopt;
}

}  // namespace jacamar
