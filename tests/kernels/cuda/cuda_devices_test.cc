// Looking for devices never crashes, whatever driver there is, and says why there are none.
#include "kernels/cuda/cuda_devices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace quern::cuda {
namespace {

using testing::HasSubstr;

TEST(CudaDevices, AreListedOrTheReasonIsGiven) {
  const auto devices = cuda_devices();
  if (!devices.ok()) {
    EXPECT_EQ(devices.error().kind(), ErrorKind::kUnsupported);
    EXPECT_THAT(devices.error().message(), HasSubstr("--device cpu"));
    EXPECT_THAT(devices.error().message(),
                HasSubstr(cuda_built_in() ? "driver" : "not built into this binary"));
    return;
  }
  ASSERT_TRUE(cuda_built_in());
  for (const CudaDevice& device : *devices) {
    EXPECT_FALSE(device.name.empty());
    EXPECT_GE(device.major, 5) << device.name;
    EXPECT_GT(device.memory_bytes, 0U) << device.name;
    EXPECT_LE(device.free_bytes, device.memory_bytes) << device.name;
  }
}

}  // namespace
}  // namespace quern::cuda
