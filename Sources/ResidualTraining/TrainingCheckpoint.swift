import Foundation
import OrderedCollections
import ResidualNN
import ResidualState
import ResidualTensor
import ResidualVision

/// Everything a run needs to go on as if it had never stopped, as a value and as one HDF5 file.
///
/// The model's tensors lie flat at the root of the file, as in any state dict: whoever wants the weights only reads a
/// checkpoint like a state dict. The rest is in the group `residual`: `optimizer` (tensors by parameter name) and
/// `training` (position, metrics so far, history, schedule, how the run was started, the state of the random numbers).
public struct TrainingCheckpoint: Sendable, Equatable {
  /// The layout of the group `residual` that this version writes.
  ///
  /// Version 1 had no schedule and is still read.
  public static let formatVersion = 2

  /// The weights and buffers.
  public var model: StateDict
  /// The optimizer's memory.
  public var optimizer: OptimizerState
  /// Position, metrics so far, history.
  public var progress: TrainingProgress
  /// What sets the learning rate before each step; nil where nothing does.
  public var schedule: LearningRateSchedule?
  /// How the run was started.
  public var run: RunInformation
  /// The state of `Generator.default`, which dropout draws from.
  public var generator: Generator.State

  /// The state of a run between two steps.
  public init(of trainer: Trainer, run: RunInformation) {
    model = trainer.model.stateDict()
    optimizer = trainer.optimizer.state(names: trainer.parameterNames)
    progress = trainer.progress
    schedule = trainer.schedule
    generator = Generator.default.state
    self.run = run
  }

  /// Puts the state back into a trainer made for the same run.
  ///
  /// Everything is checked before anything is written.
  ///
  /// - Throws: `StateError` when model or optimizer are not those of the checkpoint, `TrainingError` when the images
  ///   are not.
  public func restore(_ trainer: Trainer) throws {
    try trainer.requireFit(of: progress)
    let current = trainer.optimizer.state(names: trainer.parameterNames)
    try trainer.optimizer.restore(optimizer, names: trainer.parameterNames)
    do {
      try trainer.model.load(model)
    } catch {
      try trainer.optimizer.restore(current, names: trainer.parameterNames)
      throw error
    }
    trainer.progress = progress
    trainer.schedule = schedule
    Generator.default.state = generator
  }
}

extension TrainingCheckpoint {
  private enum Group {
    static let main = "training"
    static let optimizer = "optimizer"
  }

  /// Writes the file in one durable step: whatever happens, the old or the new file is there, whole.
  ///
  /// - Throws: `StateError` with the system's words.
  public func write(to path: String) throws {
    var main = StateDict()
    main["version"] = TensorData([Int64(Self.formatVersion)], shape: [])
    main["progress"] = try Self.encode(progress)
    main["schedule"] = try Self.encode(schedule)
    main["run"] = try Self.encode(run)
    main["optimizer.kind"] = try Self.encode(optimizer.kind)
    main["optimizer.hyperparameters"] = try Self.encode(optimizer.hyperparameters)
    main["generator.words"] = TensorData(generator.words, shape: [generator.words.count])
    main["generator.position"] = TensorData([Int64(generator.position)], shape: [])
    main["generator.cached_normal"] = TensorData([generator.cachedNormal ?? .nan], shape: [])
    let archive = HDF5Archive(model, groups: [Group.main: main, Group.optimizer: optimizer.tensors])
    try archive.write(to: path)
  }

  /// Reads a checkpoint.
  ///
  /// - Throws: `StateError` when the file is damaged, of a newer version, or holds weights only.
  public init(contentsOf path: String) throws {
    let archive = try HDF5Archive(contentsOf: path)
    guard let main = archive.groups[Group.main] else {
      throw StateError(
        .wrongFormat, "holds weights but no training state; start from it with fine-tune --weights", path: path)
    }
    let reader = Reader(main: main, path: path)
    let version = try reader.integer("version")
    guard (1...Self.formatVersion).contains(version) else {
      throw StateError(
        .unsupported,
        "is a checkpoint of format version \(version), this library reads up to \(Self.formatVersion); use a newer library",
        path: path)
    }
    model = archive.stateDict
    progress = try reader.decode("progress")
    schedule = version == 1 ? nil : try reader.decode("schedule")
    run = try reader.decode("run")
    optimizer = OptimizerState(
      kind: try reader.decode("optimizer.kind"), hyperparameters: try reader.decode("optimizer.hyperparameters"),
      tensors: archive.groups[Group.optimizer] ?? StateDict())
    let cached = try reader.entry("generator.cached_normal", .float64).scalars(as: Double.self).first
    let state = Generator.State(
      words: try reader.entry("generator.words", .uint32).scalars(as: UInt32.self),
      position: try reader.integer("generator.position"), cachedNormal: cached.flatMap { $0.isNaN ? nil : $0 })
    guard let state else { throw reader.damaged("generator.words") }
    generator = state
  }

  private static func encode(_ value: some Encodable) throws -> TensorData {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    let bytes = [UInt8](try encoder.encode(value))
    return TensorData(bytes, shape: [bytes.count])
  }

  /// Takes the group `training` apart.
  private struct Reader {
    let main: StateDict
    let path: String

    func damaged(_ key: String) -> StateError {
      StateError(
        .corrupt, "the training state lacks a valid '\(key)'; use an older checkpoint", key: key, path: path)
    }

    func entry(_ key: String, _ dtype: DataType) throws -> TensorData {
      guard let data = main[key], data.dtype == dtype else { throw damaged(key) }
      return data
    }

    func integer(_ key: String) throws -> Int {
      guard let value = try entry(key, .int64).scalars(as: Int64.self).first else { throw damaged(key) }
      return Int(value)
    }

    func decode<Value: Decodable>(_ key: String) throws -> Value {
      let bytes = try entry(key, .uint8).scalars(as: UInt8.self)
      do {
        return try JSONDecoder().decode(Value.self, from: Data(bytes))
      } catch {
        throw StateError(
          .corrupt, "the training state's '\(key)' can't be read; use an older checkpoint", key: key, path: path,
          cause: "\(error)")
      }
    }
  }
}
