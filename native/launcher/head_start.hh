// Starts jacamar before jacamar-auth has decided, so that two starts of Node go on at the same time: as the account
// that the config stage of this very job authorized, by a plan that root left. It waits for its handoff, and gets
// that, or is killed, when jacamar-auth has decided afresh; see src/jacamar-auth/head-start.ts.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

namespace jacamar {

/// All three are for the runtime: it inherits both descriptors.
struct HeadStart {
  pid_t jacamar;
  int channel;
  /// The plan that was followed.
  int plan;
};

/// Nothing unless root's own plan for this job is there and the stage is one that jacamar is needed for. Whatever is
/// wrong is left for jacamar-auth to find: it starts jacamar itself then.
/// @param prefix of the installation
/// @param arguments of jacamar-auth, its name first
[[nodiscard]] std::optional<HeadStart> start_ahead(const std::string& prefix, char** arguments);

}  // namespace jacamar
