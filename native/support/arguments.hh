// What all addons need to take arguments from JavaScript and to hand failures back. TypeScript has
// checked the types already; a privileged addon checks count, type and range again, because a
// mistaken number here is an identity. Everything throws a JavaScript error, so adapters only.
#pragma once

#include <uv.h>

#include <array>
#include <cerrno>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "napi.hh"

namespace jacamar {

inline void expect_arguments(const Napi::CallbackInfo& info, std::size_t count) {
  if (info.Length() != count) {
    throw Napi::TypeError::New(info.Env(), "expected " + std::to_string(count) + " argument(s)");
  }
}

/// A whole number in [min, max]; never rounded, wrapped or parsed from text.
template <typename Integer>
[[nodiscard]] Integer to_integer(const Napi::Value& value, const std::string& name, std::int64_t min,
                                 std::int64_t max) {
  if (!value.IsNumber()) throw Napi::TypeError::New(value.Env(), name + " must be a number");
  const double number = value.As<Napi::Number>().DoubleValue();
  if (std::trunc(number) != number || number < static_cast<double>(min) || number > static_cast<double>(max)) {
    throw Napi::RangeError::New(value.Env(), name + " is out of range");
  }
  return static_cast<Integer>(number);
}

[[nodiscard]] inline int to_descriptor(const Napi::Value& value, const std::string& name) {
  return to_integer<int>(value, name, 0, INT32_MAX);
}

/// Text without NUL: the kernel would silently cut it there.
[[nodiscard]] inline std::string to_text(const Napi::Value& value, const std::string& name) {
  if (!value.IsString()) throw Napi::TypeError::New(value.Env(), name + " must be a string");
  std::string text = value.As<Napi::String>().Utf8Value();
  if (text.find('\0') != std::string::npos) throw Napi::RangeError::New(value.Env(), name + " contains NUL");
  return text;
}

[[nodiscard]] inline bool to_boolean(const Napi::Value& value, const std::string& name) {
  if (!value.IsBoolean()) throw Napi::TypeError::New(value.Env(), name + " must be a boolean");
  return value.As<Napi::Boolean>().Value();
}

[[nodiscard]] inline Napi::Object to_object(const Napi::Value& value, const std::string& name) {
  if (!value.IsObject()) throw Napi::TypeError::New(value.Env(), name + " must be an object");
  return value.As<Napi::Object>();
}

template <typename Item, typename Convert>
[[nodiscard]] std::vector<Item> to_list(const Napi::Value& value, const std::string& name, Convert convert) {
  if (!value.IsArray()) throw Napi::TypeError::New(value.Env(), name + " must be an array");
  const auto array = value.As<Napi::Array>();
  std::vector<Item> list;
  for (std::uint32_t i = 0; i < array.Length(); ++i) list.push_back(convert(array.Get(i), name));
  return list;
}

/// libuv knows the errors that its own calls meet; these are met here as well. (glibc's own function
/// for the purpose is newer than Enterprise Linux 8.)
[[nodiscard]] inline std::string error_name(int error) {
  constexpr std::array<std::pair<int, const char*>, 6> others{{{ECHILD, "ECHILD"},
                                                               {ENOEXEC, "ENOEXEC"},
                                                               {ENOLCK, "ENOLCK"},
                                                               {EDQUOT, "EDQUOT"},
                                                               {ESTALE, "ESTALE"},
                                                               {ENOTRECOVERABLE, "ENOTRECOVERABLE"}}};
  for (const auto& [number, name] : others) {
    if (number == error) return name;
  }
  return uv_err_name(-error);
}

/// An Error shaped like Node's own (negative errno, code, syscall), plus the step that failed.
[[nodiscard]] inline Napi::Error system_error(Napi::Env env, const char* step, const char* call, int error) {
  const std::string code = error_name(error);
  const std::string text = code + ": " + std::generic_category().message(error) + ", " + call + " (" + step + ")";
  Napi::Error result = Napi::Error::New(env, text);
  result.Set("code", Napi::String::New(env, code));
  result.Set("errno", Napi::Number::New(env, -error));
  result.Set("syscall", Napi::String::New(env, call));
  result.Set("step", Napi::String::New(env, step));
  return result;
}

[[nodiscard]] inline Napi::Array to_pair(Napi::Env env, const int (&descriptors)[2]) {
  Napi::Array pair = Napi::Array::New(env, 2);
  pair.Set(0U, Napi::Number::New(env, descriptors[0]));
  pair.Set(1U, Napi::Number::New(env, descriptors[1]));
  return pair;
}

}  // namespace jacamar
