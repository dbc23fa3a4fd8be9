#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "rocksdb/compaction_filter.h"
#include "rocksdb/options.h"
#include "shim.h"

using namespace ROCKSDB_NAMESPACE;

// The layout of a handle of the C API; see shim.cc.
struct rocksdb_options_t {
  Options rep;
};

// In expiry.go: the time before which records may be dropped, in the unit of the
// format.
extern "C" uint64_t rs_horizon(uintptr_t clock, int format);

namespace {

// Expired drops what has expired, as package expiry says it. What has no time
// stays.
class Expired : public CompactionFilter {
 public:
  Expired(int format, uint64_t life, uint64_t at) : format_(format), life_(life), at_(at) {}

  const char* Name() const override { return "rocksnap.expired"; }

  bool Filter(int, const Slice&, const Slice& value, std::string*, bool*) const override {
    uint64_t born = 0;
    if (format_ == RS_TTL_ROCKSDB && value.size() >= 4) {
      memcpy(&born, value.data() + value.size() - 4, 4);  // all supported platforms are little-endian
    } else if (format_ == RS_TTL_MS_PREFIX && value.size() >= 8) {
      for (int i = 0; i < 8; i++) born = born << 8 | static_cast<unsigned char>(value[i]);
    } else {
      return false;
    }
    return born < at_ && at_ - born > life_;
  }

 private:
  const int format_;
  const uint64_t life_, at_;
};

// ExpiredFactory takes the place of the factory that is stored in OPTIONS, and
// leaves there what it found: whoever opens the database next knows the stored
// one, and may not know this.
class ExpiredFactory : public CompactionFilterFactory {
 public:
  ExpiredFactory(std::shared_ptr<CompactionFilterFactory> stored, int format, uint64_t life, uintptr_t clock)
      : stored_(std::move(stored)), format_(format), life_(life), clock_(clock) {}

  const char* Name() const override { return stored_ ? stored_->Name() : "nullptr"; }

  std::unique_ptr<CompactionFilter> CreateCompactionFilter(const CompactionFilter::Context&) override {
    if (format_ == RS_TTL_NONE) return nullptr;
    return std::make_unique<Expired>(format_, life_, rs_horizon(clock_, format_));
  }

 protected:
  std::string SerializeOptions(const ConfigOptions& options, const std::string& prefix) const override {
    if (!stored_) return Name();
    const std::string text = stored_->ToString(options, prefix);
    const bool braces = text.size() >= 2 && text.front() == '{' && text.back() == '}';
    return braces ? text.substr(1, text.size() - 2) : text;  // the caller adds them again
  }

 private:
  const std::shared_ptr<CompactionFilterFactory> stored_;
  const int format_;
  const uint64_t life_;
  const uintptr_t clock_;
};

}  // namespace

// rs_expire has compactions drop what has expired, and nothing else that a stored
// option would have them drop by the time in a value.
void rs_expire(rocksdb_options_t* options, int format, uint64_t life, uintptr_t clock) {
  auto& factory = options->rep.compaction_filter_factory;
  const bool ttl = factory && strcmp(factory->Name(), "TtlCompactionFilterFactory") == 0;
  if (format != RS_TTL_NONE || ttl) factory = std::make_shared<ExpiredFactory>(factory, format, life, clock);
}
