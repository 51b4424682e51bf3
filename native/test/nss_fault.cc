// A name service that misbehaves by the name it is asked for. Used by test/native/account.test.ts in a mount
// namespace of its own: libnss_jtfault.so.2, "passwd: jtfault".

#include <grp.h>
#include <nss.h>
#include <pwd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace {

[[nodiscard]] nss_status fail(nss_status status, int error, int* errnop) {
  *errnop = error;
  return status;
}

/// The entry's strings share one place; `needed` is how large the service says its entry is.
[[nodiscard]] nss_status fill(const char* name, passwd* entry, char* buffer, std::size_t size, std::size_t needed,
                              int* errnop) {
  if (size < needed) return fail(NSS_STATUS_TRYAGAIN, ERANGE, errnop);
  const std::size_t length = std::strlen(name) + 1;
  std::memcpy(buffer, name, length);
  std::memcpy(buffer + length, "/x", 3);
  *entry = {buffer, buffer + length, 61234, 61234, buffer + length, buffer + length, buffer + length};
  return NSS_STATUS_SUCCESS;
}

std::atomic<int> interruptions{0};

}  // namespace

extern "C" {
#pragma GCC visibility push(default)

nss_status _nss_jtfault_getpwnam_r(const char* name, passwd* entry, char* buffer, std::size_t size, int* errnop);
nss_status _nss_jtfault_getpwnam_r(const char* name, passwd* entry, char* buffer, std::size_t size, int* errnop) {
  const std::string_view asked = name;
  if (asked == "jt_again") return fail(NSS_STATUS_TRYAGAIN, EAGAIN, errnop);
  if (asked == "jt_stopped") return fail(NSS_STATUS_UNAVAIL, ENOENT, errnop);
  if (asked == "jt_interrupted" && interruptions++ < 3) return fail(NSS_STATUS_TRYAGAIN, EINTR, errnop);
  if (asked == "jt_endless") return fail(NSS_STATUS_TRYAGAIN, ERANGE, errnop);
  if (asked == "jt_slow") pause();
  if (asked == "jt_large") return fill(name, entry, buffer, size, 1000000, errnop);
  if (asked == "jt_nobody") return fail(NSS_STATUS_NOTFOUND, ENOENT, errnop);
  return fill(name, entry, buffer, size, 256, errnop);
}

nss_status _nss_jtfault_getgrnam_r(const char* name, group* entry, char* buffer, std::size_t size, int* errnop);
nss_status _nss_jtfault_getgrnam_r(const char* name, group* entry, char* buffer, std::size_t size, int* errnop) {
  const std::string_view asked = name;
  if (asked == "jt_again") return fail(NSS_STATUS_TRYAGAIN, EAGAIN, errnop);
  if (asked == "jt_stopped") return fail(NSS_STATUS_UNAVAIL, ENOENT, errnop);
  if (asked == "jt_nobody") return fail(NSS_STATUS_NOTFOUND, ENOENT, errnop);
  static_cast<void>(buffer);
  if (asked == "jt_large" && size < 1000000) return fail(NSS_STATUS_TRYAGAIN, ERANGE, errnop);
  *entry = {const_cast<char*>(name), const_cast<char*>(""), 61234, nullptr};
  return NSS_STATUS_SUCCESS;
}

/// jt_many: as many groups as the kernel takes; jt_excess: more; jt_starved: no descriptor to find out.
nss_status _nss_jtfault_initgroups_dyn(const char* name, gid_t skip, long* start, long* size, gid_t** groups,
                                       long limit, int* errnop);
nss_status _nss_jtfault_initgroups_dyn(const char* name, gid_t skip, long* start, long* size, gid_t** groups,
                                       long limit, int* errnop) {
  static_cast<void>(skip);
  static_cast<void>(limit);
  const std::string_view asked = name;
  if (asked == "jt_starved") return fail(NSS_STATUS_UNAVAIL, EMFILE, errnop);
  const long wanted = asked == "jt_many" ? 65535 : asked == "jt_excess" ? 65600 : 0;
  if (*size < wanted + *start) {
    *size = wanted + *start;
    *groups = static_cast<gid_t*>(std::realloc(*groups, static_cast<std::size_t>(*size) * sizeof(gid_t)));
  }
  for (long number = 0; number < wanted; ++number) (*groups)[(*start)++] = static_cast<gid_t>(100000 + number);
  return NSS_STATUS_SUCCESS;
}

#pragma GCC visibility pop
}
