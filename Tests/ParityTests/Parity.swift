import Testing

/// Everything that is compared with PyTorch, and the properties that need no PyTorch.
///
/// One test at a time: they set `Threads.count`, and some take much memory.
@Suite(.serialized) struct Parity {}
