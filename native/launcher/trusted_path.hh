// Paths that nobody but root, or ourselves where we have no privilege, could have changed.
#pragma once

#include <optional>
#include <string>
#include <variant>

namespace jacamar {

/// Whose word counts besides root's.
enum class Trust : bool { root_only, own_too };

/// What is wrong, and with which part of the path.
struct Distrust {
  std::string path, rule;
};

/// Opens a regular file through directories that nobody else can change and through no symbolic link. The caller closes
/// the descriptor. `flags` as for open(2).
[[nodiscard]] std::variant<int, Distrust> open_trusted(const std::string& path, int flags, Trust trust);

/// Nothing when the path can be trusted.
[[nodiscard]] std::optional<Distrust> distrust(const std::string& path, Trust trust);

}  // namespace jacamar
