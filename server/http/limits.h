// Bounds of the HTTP front: what one client may cost before its request is understood.
//
// One table, so that the documentation and the tests quote the same figures.
#pragma once

#include <chrono>
#include <cstddef>

namespace quern::http {

struct Limits {
  // Request head (RFC 9112). Beyond: 414 for the target, 431 for the rest.
  size_t max_target_bytes = size_t{8} << 10;
  size_t max_header_line_bytes = size_t{8} << 10;
  size_t max_head_bytes = size_t{64} << 10;
  size_t max_header_count = 100;
  // Whole head, counted from its first byte. Beyond: 408.
  std::chrono::milliseconds head_deadline{10'000};
  // A connection without a request in progress is closed after this.
  std::chrono::milliseconds keep_alive{15'000};

  // Request body. Beyond the size: 413. Slower than the rate after the grace time: 408.
  size_t max_body_bytes = size_t{32} << 20;
  std::chrono::milliseconds body_grace{10'000};
  size_t min_body_bytes_per_s = 1024;
  std::chrono::milliseconds body_deadline{300'000};
  // Bytes of chunk extensions and trailers over one body. Beyond: 400.
  size_t max_chunk_overhead_bytes = size_t{64} << 10;

  // A client that takes nothing of the answer for this long is dropped.
  std::chrono::milliseconds write_stall{30'000};
  // After an answer that ends the connection early, input is discarded this long so that the
  // answer is not lost to a reset.
  std::chrono::milliseconds linger{2'000};

  int max_connections = 1024;  // open at once; beyond: 503
  int max_workers = 256;       // requests being answered at once, a thread each
  int max_waiting = 64;        // complete requests waiting for a thread; beyond: 503
  int backlog = 512;
  size_t worker_stack_bytes = size_t{2} << 20;
  int retry_after_s = 1;  // said with each 503
};

}  // namespace quern::http
