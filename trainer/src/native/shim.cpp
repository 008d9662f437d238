// What training needs of libtorch and `tch` does not bind: kernels over lists of tensors, memory layouts, and a function whose
// gradients come from computing it again.
// Each function returns null, or a message that the caller frees.

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <ATen/core/ivalue.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#ifdef __GLIBC__
#include <malloc.h>
#endif

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

// Gives a message that C frees, or null and a new tensor.
using Rerun = char* (*)(const void* state, at::Tensor* const* outside, size_t count, at::Tensor** out);
using Forget = void (*)(void* state);

// A computation that the caller can repeat.
struct Replay : torch::CustomClassHolder {
  Replay(void* state, Rerun rerun, Forget forget) : state(state), rerun(rerun), forget(forget) {}
  ~Replay() override { forget(state); }

  at::Tensor operator()(const std::vector<at::Tensor>& outside) const {
    // The callee owns what it is given.
    std::vector<at::Tensor*> given;
    for (const auto& tensor : outside) given.push_back(new at::Tensor(tensor));
    at::Tensor* out = nullptr;
    if (char* message = rerun(state, given.data(), given.size(), &out)) {
      std::string text(message);
      std::free(message);
      throw std::runtime_error(text);
    }
    return *std::unique_ptr<at::Tensor>(out);
  }

  void* state;
  Rerun rerun;
  Forget forget;
};

// The result of a computation that was not recorded; backward it is repeated and recorded.
struct Recomputed : torch::autograd::Function<Recomputed> {
  // A list, not a vector: vectors are taken for something else than tensors.
  static at::Tensor forward(torch::autograd::AutogradContext* context, at::TensorList outside,
                            const at::Tensor* result, c10::intrusive_ptr<Replay> replay) {
    context->save_for_backward(outside.vec());
    context->saved_data["replay"] = c10::IValue::make_capsule(std::move(replay));
    return result->detach();
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    torch::autograd::variable_list outside, wanted;
    for (const auto& saved : context->get_saved_variables()) {
      auto own = saved.detach();
      if (saved.requires_grad()) {
        own.requires_grad_(true);
        wanted.push_back(own);
      }
      outside.push_back(own);
    }
    auto capsule = context->saved_data["replay"].toCapsule();
    const auto& replay = static_cast<const Replay&>(*capsule);
    torch::autograd::variable_list found;
    {
      at::AutoGradMode record(true);
      auto result = replay(outside);
      found = torch::autograd::grad({result}, wanted, gradients, std::nullopt, /*create_graph=*/false,
                                    /*allow_unused=*/true);
    }
    torch::autograd::variable_list all;
    size_t next = 0;
    for (const auto& tensor : outside) all.push_back(tensor.requires_grad() ? found[next++] : at::Tensor());
    // The two arguments that are no tensors.
    all.resize(all.size() + 2);
    return all;
  }
};

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

// Leaves every tensor without a gradient: the next one that reaches it is taken as it is, not added to zeros.
char* pleach_forget_gradients(at::Tensor* const* tensors, size_t count) {
  return guarded([&] {
    for (size_t i = 0; i < count; ++i) tensors[i]->mutable_grad() = at::Tensor();
  });
}

// The same elements with channels last in memory.
char* pleach_channels_last(const at::Tensor* tensor, at::Tensor** out) {
  return guarded([&] { *out = new at::Tensor(tensor->contiguous(at::MemoryFormat::ChannelsLast)); });
}

// Has the C library keep what is freed for what is asked for next.
void pleach_keep_freed_memory() {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, -1);
#endif
}

bool pleach_records_gradients() { return at::GradMode::is_enabled(); }

// `result`, computed from the tensors of `outside`, as a tensor whose gradients come from `rerun`. `state` is given to `forget` once.
char* pleach_recomputed(at::Tensor* const* outside, size_t count, const at::Tensor* result, void* state, Rerun rerun,
                        Forget forget, at::Tensor** out) {
  auto replay = c10::make_intrusive<Replay>(state, rerun, forget);
  try {
    auto tensors = list(outside, count);
    *out = new at::Tensor(Recomputed::apply(at::TensorList(tensors), result, std::move(replay)));
    return nullptr;
  } catch (const std::exception& error) {
    return strdup(error.what());
  }
}

void pleach_free(char* message) { std::free(message); }

}  // extern "C"
