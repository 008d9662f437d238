// What training needs of libtorch and `tch` does not bind: kernels over lists of tensors.
// Each function returns null, or a message that the caller frees.

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <optional>

namespace {

std::vector<at::Tensor> list(at::Tensor* const* tensors, size_t count) {
  std::vector<at::Tensor> result;
  result.reserve(count);
  for (size_t i = 0; i < count; ++i) result.push_back(*tensors[i]);
  return result;
}

template <typename F>
char* guarded(F&& f) {
  try {
    at::NoGradGuard no_grad;
    f();
    return nullptr;
  } catch (const std::exception& error) {
    return strdup(error.what());
  }
}

}  // namespace

extern "C" {

// One step of AdamW (Loshchilov and Hutter 2019) in place over all parameters; each step count is a scalar f32 tensor that the
// caller has increased.
char* pleach_adamw(at::Tensor* const* parameters, at::Tensor* const* gradients, at::Tensor* const* first,
                   at::Tensor* const* second, at::Tensor* const* steps, size_t count, double rate, double beta1,
                   double beta2, double weight_decay, double eps) {
  return guarded([&] {
    auto p = list(parameters, count), g = list(gradients, count), m = list(first, count), v = list(second, count);
    auto s = list(steps, count);
    at::_fused_adamw_(p, g, m, v, {}, s, rate, beta1, beta2, weight_decay, eps, /*amsgrad=*/false,
                      /*maximize=*/false, {}, {});
  });
}

// The norms of all tensors, joined: `out [count]`.
char* pleach_norms(at::Tensor* const* tensors, size_t count, at::Tensor** out) {
  return guarded([&] { *out = new at::Tensor(at::stack(at::_foreach_norm(list(tensors, count), 2))); });
}

// Multiplies every tensor by a scalar tensor, in place.
char* pleach_scale(at::Tensor* const* tensors, size_t count, const at::Tensor* factor) {
  return guarded([&] {
    auto t = list(tensors, count);
    at::_foreach_mul_(t, *factor);
  });
}

// Moves every tensor of `towards` by `weight` of the way, in place.
char* pleach_lerp(at::Tensor* const* tensors, at::Tensor* const* towards, size_t count, double weight) {
  return guarded([&] {
    auto t = list(tensors, count), to = list(towards, count);
    at::_foreach_lerp_(t, to, weight);
  });
}

void pleach_free(char* message) { std::free(message); }

}  // extern "C"
