// What the unprivileged program needs from the kernel and Node lacks: an advisory lock that ends with its
// holder, and to inherit the orphans of a job. Imports nothing that changes ids or starts programs; a test
// reads the symbol table to keep it so.

#include <fcntl.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "../support/arguments.hh"

namespace {

using Napi::Boolean;
using Napi::CallbackInfo;
using Napi::Value;

/// flock(2) and not fcntl locks: those vanish when any descriptor of the file is closed.
Value try_lock(const CallbackInfo& info) {
  jacamar::expect_arguments(info, 1);
  const int descriptor = jacamar::to_descriptor(info[0], "fd");
  int result = -1;
  do {
    result = flock(descriptor, LOCK_EX | LOCK_NB);
  } while (result != 0 && errno == EINTR);
  if (result == 0 || errno == EWOULDBLOCK) return Boolean::New(info.Env(), result == 0);
  throw jacamar::system_error(info.Env(), "take the lock", "flock", errno);
}

Value unlock(const CallbackInfo& info) {
  jacamar::expect_arguments(info, 1);
  if (flock(jacamar::to_descriptor(info[0], "fd"), LOCK_UN) == 0) return info.Env().Undefined();
  throw jacamar::system_error(info.Env(), "release the lock", "flock", errno);
}

Value become_subreaper(const CallbackInfo& info) {
  if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0) return info.Env().Undefined();
  throw jacamar::system_error(info.Env(), "become child subreaper", "prctl", errno);
}

/// One pid only: children that Node started are Node's to wait for.
Value reap(const CallbackInfo& info) {
  jacamar::expect_arguments(info, 1);
  const auto pid = jacamar::to_integer<pid_t>(info[0], "pid", 2, INT32_MAX);
  pid_t reaped = -1;
  do {
    reaped = waitpid(pid, nullptr, WNOHANG);
  } while (reaped < 0 && errno == EINTR);
  if (reaped < 0) throw jacamar::system_error(info.Env(), "reap an orphan", "waitpid", errno);
  return Boolean::New(info.Env(), reaped == pid);
}

Value open_pipe(const CallbackInfo& info) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) == 0) return jacamar::to_pair(info.Env(), ends);
  throw jacamar::system_error(info.Env(), "open a pipe", "pipe2", errno);
}

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  exports.Set("tryLock", Napi::Function::New<try_lock>(env, "tryLock"));
  exports.Set("unlock", Napi::Function::New<unlock>(env, "unlock"));
  exports.Set("becomeSubreaper", Napi::Function::New<become_subreaper>(env, "becomeSubreaper"));
  exports.Set("reap", Napi::Function::New<reap>(env, "reap"));
  exports.Set("pipe", Napi::Function::New<open_pipe>(env, "pipe"));
  return exports;
}

}  // namespace

NODE_API_MODULE(lock, initialize)
