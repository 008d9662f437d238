//! The providers that can be asked for, what ONNX Runtime calls them, and which options they know.

use serde::{Serialize, Serializer};
use std::fmt;

/// A provider that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ProviderKind {
    /// ONNX Runtime's own kernels.
    Cpu,
    /// NVIDIA's GPUs.
    Cuda,
    /// NVIDIA's GPUs, with engines that TensorRT compiles.
    TensorRt,
    /// Intel's processors, GPUs and NPUs.
    OpenVino,
    /// Qualcomm's accelerators; on x86-64 their emulator.
    Qnn,
    /// Google's kernels for mobile processors.
    Xnnpack,
    /// Apple's neural engine and GPUs.
    CoreMl,
    /// Android's neural networks API.
    Nnapi,
    /// GPUs under Windows.
    DirectMl,
    /// GPUs through WebGPU.
    WebGpu,
}

/// What is known of a provider.
struct Facts {
    name: &'static str,
    /// Its name in ONNX Runtime.
    onnx_name: &'static str,
    /// What the file of its plug-in is called, without the system's beginning and end, where it ships as one.
    plugin: Option<&'static str>,
    options: &'static [&'static str],
}

const fn facts(
    name: &'static str,
    onnx_name: &'static str,
    plugin: Option<&'static str>,
    options: &'static [&'static str],
) -> Facts {
    Facts { name, onnx_name, plugin, options }
}

impl ProviderKind {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Cpu,
        Self::Cuda,
        Self::TensorRt,
        Self::OpenVino,
        Self::Qnn,
        Self::Xnnpack,
        Self::CoreMl,
        Self::Nnapi,
        Self::DirectMl,
        Self::WebGpu,
    ];

    const fn facts(self) -> Facts {
        match self {
            Self::Cpu => facts("cpu", "CPUExecutionProvider", None, &[]),
            Self::Cuda => facts("cuda", "CUDAExecutionProvider", None, CUDA),
            Self::TensorRt => facts("tensorrt", "TensorrtExecutionProvider", None, TENSORRT),
            Self::OpenVino => facts("openvino", "OpenVINOExecutionProvider", None, OPENVINO),
            Self::Qnn => facts("qnn", "QNNExecutionProvider", Some("onnxruntime_providers_qnn"), QNN),
            Self::Xnnpack => facts("xnnpack", "XnnpackExecutionProvider", None, &["intra_op_num_threads"]),
            Self::CoreMl => facts("coreml", "CoreMLExecutionProvider", None, COREML),
            Self::Nnapi => facts("nnapi", "NnapiExecutionProvider", None, NNAPI),
            Self::DirectMl => facts("directml", "DmlExecutionProvider", None, DIRECTML),
            Self::WebGpu => facts("webgpu", "WebGpuExecutionProvider", None, WEBGPU),
        }
    }

    /// How it is written: `openvino`.
    pub const fn name(self) -> &'static str {
        self.facts().name
    }

    /// What ONNX Runtime calls it: `OpenVINOExecutionProvider`.
    pub const fn onnx_name(self) -> &'static str {
        self.facts().onnx_name
    }

    /// The provider that ONNX Runtime calls so.
    pub fn of_onnx_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.onnx_name() == name)
    }

    /// The keys of its options.
    pub const fn options(self) -> &'static [&'static str] {
        self.facts().options
    }

    /// What the file of its plug-in is called, without the system's beginning and end, where it ships as one.
    pub(super) const fn plugin(self) -> Option<&'static str> {
        self.facts().plugin
    }
}

impl fmt::Display for ProviderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for ProviderKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

const CUDA: &[&str] = &[
    "arena_extend_strategy",
    "cudnn_conv1d_pad_to_nc1d",
    "cudnn_conv_algo_search",
    "cudnn_conv_use_max_workspace",
    "device_id",
    "do_copy_in_default_stream",
    "enable_cuda_graph",
    "enable_skip_layer_norm_strict_mode",
    "fuse_conv_bias",
    "gpu_mem_limit",
    "prefer_nhwc",
    "sdpa_kernel",
    "use_tf32",
];

const TENSORRT: &[&str] = &[
    "device_id",
    "trt_auxiliary_streams",
    "trt_bf16_enable",
    "trt_build_heuristics_enable",
    "trt_builder_optimization_level",
    "trt_context_memory_sharing_enable",
    "trt_cuda_graph_enable",
    "trt_detailed_build_log",
    "trt_dla_core",
    "trt_dla_enable",
    "trt_dump_ep_context_model",
    "trt_dump_subgraphs",
    "trt_engine_cache_enable",
    "trt_engine_cache_path",
    "trt_engine_cache_prefix",
    "trt_engine_decryption_enable",
    "trt_engine_decryption_lib_path",
    "trt_engine_hw_compatible",
    "trt_ep_context_embed_mode",
    "trt_ep_context_file_path",
    "trt_extra_plugin_lib_paths",
    "trt_force_sequential_engine_build",
    "trt_force_timing_cache",
    "trt_fp16_enable",
    "trt_int8_calibration_table_name",
    "trt_int8_enable",
    "trt_int8_use_native_calibration_table",
    "trt_layer_norm_fp32_fallback",
    "trt_max_partition_iterations",
    "trt_max_workspace_size",
    "trt_min_subgraph_size",
    "trt_onnx_model_folder_path",
    "trt_profile_max_shapes",
    "trt_profile_min_shapes",
    "trt_profile_opt_shapes",
    "trt_sparsity_enable",
    "trt_tactic_sources",
    "trt_timing_cache_enable",
    "trt_timing_cache_path",
    "trt_weight_stripped_engine_enable",
];

const OPENVINO: &[&str] = &[
    "cache_dir",
    "device_id",
    "device_luid",
    "device_type",
    "disable_dynamic_shapes",
    "enable_opencl_throttling",
    "enable_qdq_optimizer",
    "layout",
    "load_config",
    "model_priority",
    "num_of_threads",
    "num_streams",
    "precision",
    "reshape_input",
];

const QNN: &[&str] = &[
    "backend_path",
    "backend_type",
    "device_id",
    "disable_file_mapped_weights",
    "dump_json_qnn_graph",
    "enable_htp_fp16_precision",
    "enable_htp_shared_memory_allocator",
    "enable_htp_spill_fill_buffer",
    "enable_vtcm_backup_buffer_sharing",
    "extended_udma",
    "htp_arch",
    "htp_bf16_enable",
    "htp_graph_finalization_optimization_mode",
    "htp_performance_mode",
    "json_qnn_graph_dir",
    "offload_graph_io_quantization",
    "op_packages",
    "profiling_file_path",
    "profiling_level",
    "qnn_context_priority",
    "qnn_ir_backend_path",
    "qnn_saver_path",
    "rpc_control_latency",
    "skip_qnn_version_check",
    "soc_model",
    "vtcm_mb",
];

const COREML: &[&str] = &[
    "AllowLowPrecisionAccumulationOnGPU",
    "EnableOnSubgraphs",
    "MLComputeUnits",
    "ModelCacheDirectory",
    "ModelFormat",
    "ProfileComputePlan",
    "RequireStaticInputShapes",
    "SpecializationStrategy",
];

const NNAPI: &[&str] = &["cpu_only", "disable_cpu", "use_fp16", "use_nchw"];

const DIRECTML: &[&str] = &["device_filter", "device_id", "performance_preference"];

const WEBGPU: &[&str] = &[
    "dawnBackendType",
    "defaultBufferCacheMode",
    "deviceId",
    "enableGraphCapture",
    "enablePIXCapture",
    "forceCpuNodeNames",
    "preferredLayout",
    "queryResolveBufferCacheMode",
    "storageBufferCacheMode",
    "uniformBufferCacheMode",
    "validationMode",
];
