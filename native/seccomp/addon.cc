// N-API adapter of the filter compiler: check, convert, call, convert back. Its exports are typed, one for one, in
// src/jacamar-auth/filter-compiler.ts. Loaded only where a filter is configured.

#include <seccomp.h>

#include "../support/arguments.hh"
#include "filter.hh"

namespace {

using Napi::CallbackInfo;
using Napi::Env;
using Napi::Object;
using Napi::Value;

[[nodiscard]] std::uint32_t to_number(const Value& value, const char* name) {
  return jacamar::to_integer<std::uint32_t>(value, name, 0, UINT32_MAX);
}

[[nodiscard]] std::uint32_t to_argument(const Value& value, const char* name) {
  return jacamar::to_integer<std::uint32_t>(value, name, 0, 6);
}

[[nodiscard]] jacamar::Refusal to_refusal(const Value& value, const std::string& name) {
  const Object from = jacamar::to_object(value, name);
  return {jacamar::to_text(from.Get("call"), "call"), to_argument(from.Get("argument"), "argument"),
          to_number(from.Get("value"), "value")};
}

[[nodiscard]] jacamar::IdLimit to_limit(const Value& value, const std::string& name) {
  const Object from = jacamar::to_object(value, name);
  return {jacamar::to_text(from.Get("call"), "call"), to_argument(from.Get("arguments"), "arguments"),
          to_number(from.Get("id"), "id")};
}

[[nodiscard]] jacamar::FilterRules to_rules(const Object& from) {
  const auto names = [&from](const char* name) {
    return jacamar::to_list<std::string>(from.Get(name), name, jacamar::to_text);
  };
  jacamar::FilterRules rules;
  rules.only_allowed = jacamar::to_boolean(from.Get("onlyAllowed"), "onlyAllowed");
  rules.allowed = names("allowed");
  rules.blocked = names("blocked");
  rules.absent = names("absent");
  rules.refusals = jacamar::to_list<jacamar::Refusal>(from.Get("refusals"), "refusals", to_refusal);
  rules.limits = jacamar::to_list<jacamar::IdLimit>(from.Get("limits"), "limits", to_limit);
  rules.error = jacamar::to_integer<std::uint16_t>(from.Get("error"), "error", 0, 4094);
  rules.log_allowed = jacamar::to_boolean(from.Get("logAllowed"), "logAllowed");
  return rules;
}

Value compile(const CallbackInfo& info) {
  jacamar::expect_arguments(info, 1);
  const auto result = jacamar::compile_filter(to_rules(jacamar::to_object(info[0], "rules")));
  if (const auto* failure = std::get_if<jacamar::FilterFailure>(&result)) {
    throw jacamar::system_error(info.Env(), "compile the filter", failure->call, failure->error);
  }
  const auto& program = *std::get_if<jacamar::FilterProgram>(&result);
  // SAFETY: instructions are plain data; launch() takes the same bytes back.
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(program.data());
  return Napi::Buffer<std::uint8_t>::Copy(info.Env(), bytes, program.size() * sizeof(sock_filter));
}

Value knows(const CallbackInfo& info) {
  jacamar::expect_arguments(info, 1);
  return Napi::Boolean::New(info.Env(), jacamar::knows_call(jacamar::to_text(info[0], "name")));
}

Value names(const CallbackInfo& info) {
  jacamar::expect_arguments(info, 0);
  const auto list = jacamar::call_names();
  auto array = Napi::Array::New(info.Env(), list.size());
  for (std::uint32_t i = 0; i < list.size(); ++i) array.Set(i, list[i]);
  return array;
}

/// Of the libseccomp on this host, not of the one that was built with.
Value version(const CallbackInfo& info) {
  jacamar::expect_arguments(info, 0);
  const scmp_version* library = seccomp_version();
  const auto part = [](unsigned number) { return std::to_string(number); };
  return Napi::String::New(info.Env(), part(library->major) + "." + part(library->minor) + "." + part(library->micro));
}

Object initialize(Env env, Object exports) {
  exports.Set("compile", Napi::Function::New<compile>(env, "compile"));
  exports.Set("knows", Napi::Function::New<knows>(env, "knows"));
  exports.Set("names", Napi::Function::New<names>(env, "names"));
  exports.Set("version", Napi::Function::New<version>(env, "version"));
  return exports;
}

}  // namespace

NODE_API_MODULE(seccomp, initialize)
