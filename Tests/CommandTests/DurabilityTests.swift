import Foundation
import Residual
import Testing

/// What the real program leaves behind when it is killed in the middle of a save, or when the disk says no.
@Suite("Saves that are struck", .timeLimit(.minutes(20)))
struct DurabilityTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// Each run goes on from what the one killed before it has left, and saves after every step.
  @Test("SIGKILL in the middle of 300 saves: the old or the new checkpoint, whole, and no strays after the next save")
  func killed() throws {
    let (data, path) = (try TinyMNIST(), folder.file("run.h5"))
    let first = try Command([
      "train", "--data", data.path, "--model", "small-cnn", "--batch-size", "8", "--steps", "1", "--checkpoint", path,
    ])
    #expect(first.status == 0, "\(first.errors)")
    let usual = try SavingRun(data: data.path, checkpoint: path).timeOfASave()
    var random = SplitMix64(state: 1)
    var step = try TrainingCheckpoint(contentsOf: path).progress.step
    var (runs, struck, moved) = (0, 0, 0)
    while struck < 300, runs < 1500 {
      runs += 1
      let run = try SavingRun(data: data.path, checkpoint: path)
      try run.waitForSave(Int.random(in: 1...3, using: &random))
      usleep(UInt32(Double.random(in: 0...1.2 * usual, using: &random) * 1e6))
      run.kill()
      // The first save of this run has swept what earlier runs left, so what is there was being written just now.
      let strays = run.temporaries(of: nil)
      #expect(strays.count <= 1 && strays == run.temporaries(of: run.processIdentifier), "\(strays)")
      struck += strays.count
      // Reading compares every tensor with its checksum.
      let now = try TrainingCheckpoint(contentsOf: path).progress.step
      #expect(now >= step)
      moved += now > step ? 1 : 0
      step = now
    }
    #expect(struck >= 300, "\(struck) saves were struck in \(runs) runs")
    #expect(moved > 0, "no run got as far as a whole save")
    print("SIGKILL: \(runs) runs killed, \(struck) with a save half written, \(moved) that had moved the checkpoint on")

    let last = try Command(
      "train", "--data", data.path, "--resume", path, "--steps", "\(step + 1)", "--checkpoint", path)
    #expect(last.status == 0, "\(last.errors)")
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["run.h5"])
    #expect(try TrainingCheckpoint(contentsOf: path).progress.step == step + 1)
  }

  @Test("What a run that was killed between two names of a checkpoint has left goes with the next save")
  func killedBetweenNames() throws {
    let data = try TinyMNIST()
    try folder.write([1, 2, 3], to: "run.h5.link-tmp")
    let run = try Command(
      "train", "--data", data.path, "--model", "small-cnn", "--steps", "1", "--keep", "1", "--checkpoint",
      folder.file("run.h5"))
    #expect(run.status == 0, "\(run.errors)")
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
        == ["run-best.h5", "run-step00000001.h5", "run.h5"])
  }

  @Test(
    "A full disk: the old file, the system's words, no temporary; with room again the save works",
    arguments: Shortage.possible, ["h5", "safetensors", "pth", "npz"])
  func fullDisk(_ shortage: Shortage, _ ending: String) throws {
    let (old, new) = (folder.file("old.\(ending)"), folder.file("new.\(ending)"))
    try weights(seed: 1).write(to: old)
    try weights(seed: 2).write(to: new)
    for room in [0, 64, 700] {
      let disk = folder.file("disk-\(room)")
      try FileManager.default.createDirectory(atPath: disk, withIntermediateDirectories: false)
      let script = try shortage.run(
        "\(shortage.taking)\n\(Self.savingTwice)", room: room, disk: disk, name: "a.\(ending)", old: old, new: new)
      let lines = script.output.split(separator: "\n").map(String.init)
      let files = "files a.\(ending)"
      #expect(
        lines == ["status 1", "old file equal", files, "status 0", "new file equal", files],
        "\(room) KiB: \(script.output)\(script.errors)")
      let messages = script.errors.split(separator: "\n")
      #expect(messages.count == 1, "\(script.errors)")
      #expect(messages.first?.contains("(\(shortage.words))") == true, "\(script.errors)")
    }
  }

  @Test("A file without any write permission is refused, with the system's words, and stays as it is")
  func protectedFile() throws {
    let (old, new) = (folder.file("old.h5"), folder.file("new.h5"))
    try weights(seed: 1).write(to: old)
    try weights(seed: 2).write(to: new)
    let before = try Data(contentsOf: URL(filePath: old))
    try FileManager.default.setAttributes([.posixPermissions: 0o444], ofItemAtPath: old)
    let command = try Command("convert", new, old)
    #expect(command.status == 1)
    #expect(command.errors.contains("write-protected"), "\(command.errors)")
    #expect(command.errors.contains("(Permission denied)"), "\(command.errors)")
    #expect(try Data(contentsOf: URL(filePath: old)) == before)
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted() == ["new.h5", "old.h5"])
  }

  @Test("A folder that takes no files, not even root's: the system's words")
  func protectedFolder() throws {
    try weights(seed: 1).write(to: folder.file("new.h5"))
    let command = try Command("convert", folder.file("new.h5"), "/sys/residual.h5")
    #expect(command.status == 1)
    let words = ["Permission denied", "Operation not permitted", "Read-only file system"]
    #expect(words.contains { command.errors.contains("(\($0))") }, "\(command.errors)")
  }

  @Test(
    "A disk mounted read-only: the old file and the system's words",
    .enabled(if: Shortage.possible.contains(.disk), "nobody may mount here; protectedFolder() stands in"))
  func readOnlyDisk() throws {
    let (old, new, disk) = (folder.file("old.h5"), folder.file("new.h5"), folder.file("disk"))
    try weights(seed: 1).write(to: old)
    try weights(seed: 2).write(to: new)
    try FileManager.default.createDirectory(atPath: disk, withIntermediateDirectories: false)
    let script = try Shortage.disk.run(
      """
      mount -t tmpfs none "$disk"
      cp "$old" "$disk/$name"
      mount -o remount,ro "$disk"
      status=0; "$resnet" convert "$new" "$disk/$name" >/dev/null || status=$?
      echo "status $status"
      cmp "$old" "$disk/$name" && echo "files" $(ls -A "$disk")
      """, room: 0, disk: disk, name: "a.h5", old: old, new: new)
    #expect(script.output == "status 1\nfiles a.h5\n", "\(script.output)\(script.errors)")
    #expect(script.errors.contains("(Read-only file system)"), "\(script.errors)")
  }

  /// 1.3 MB of weights.
  private func weights(seed: UInt64) -> StateDict {
    Generator.withDefault(Generator(seed: seed)) { SmallCNN(imageSize: 32).stateDict() }
  }

  /// Replaces the old file by the new one while there is too little room, makes room, and tries again.
  private static let savingTwice = """
    cp "$old" "$disk/$name"
    take_room
    status=0; without_room "$resnet" convert "$new" "$disk/$name" >/dev/null || status=$?
    echo "status $status"
    cmp "$old" "$disk/$name" && echo "old file equal"
    give_room
    echo "files" $(ls -A "$disk")
    status=0; "$resnet" convert "$new" "$disk/$name" >/dev/null || status=$?
    echo "status $status"
    cmp "$new" "$disk/$name" && echo "new file equal"
    echo "files" $(ls -A "$disk")
    """
}

/// `resnet train` on its way through saves, to be killed.
private struct SavingRun {
  private let process = Process()
  private let folder: String
  private let prefix: String
  private let errors: String

  init(data: String, checkpoint: String) throws {
    let url = URL(filePath: checkpoint)
    folder = url.deletingLastPathComponent().path
    prefix = ".\(url.lastPathComponent)."
    errors = NSTemporaryDirectory() + "residual-struck-\(UUID().uuidString)"
    _ = FileManager.default.createFile(atPath: errors, contents: nil)
    process.executableURL = try Command.executable()
    process.arguments = [
      "train", "--data", data, "--resume", checkpoint, "--checkpoint", checkpoint, "--save-every", "1", "--epochs",
      "1000000",
    ]
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = FileHandle.nullDevice
    process.standardError = try FileHandle(forWritingTo: URL(filePath: errors))
    try process.run()
  }

  var processIdentifier: Int32 { process.processIdentifier }

  /// The temporary files beside the checkpoint: of one process, or of all.
  func temporaries(of owner: Int32?) -> [String] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    return names.filter { $0.hasSuffix(".residual-tmp") && $0.hasPrefix(owner.map { "\(prefix)\($0)-" } ?? "") }
  }

  /// Returns when the run's `number`th save, or a later one, has begun.
  func waitForSave(_ number: Int) throws {
    while try currentSave() < number { usleep(100) }
  }

  /// The middle one of the times that five saves take, in seconds; kills the run.
  func timeOfASave() throws -> Double {
    let clock = ContinuousClock()
    var times: [Double] = []
    for _ in 0..<5 {
      while try currentSave() > 0 { usleep(100) }
      while try currentSave() == 0 { usleep(100) }
      let time = try clock.measure { while try currentSave() > 0 { usleep(100) } }
      times.append(time / .seconds(1))
    }
    kill()
    return times.sorted()[2]
  }

  /// Strikes.
  func kill() {
    process.terminate9()
    #expect(process.terminationReason == .uncaughtSignal && process.terminationStatus == SIGKILL, "\(said)")
    try? FileManager.default.removeItem(atPath: errors)
  }

  /// Which save is being written just now, 0 for none.
  ///
  /// A process numbers its temporary files. The first one is made and removed at once to see whether that can be done.
  private func currentSave() throws -> Int {
    try #require(process.isRunning, "the run has ended by itself: \(said)")
    let numbers = temporaries(of: processIdentifier).compactMap { name in
      Int(name.dropFirst("\(prefix)\(processIdentifier)-".count).prefix { $0.isNumber })
    }
    return max(0, (numbers.max() ?? 1) - 1)
  }

  private var said: String { (try? String(contentsOfFile: errors, encoding: .utf8)) ?? "" }
}

extension Process {
  /// Sends SIGKILL and waits for the end.
  fileprivate func terminate9() {
    Foundation.kill(processIdentifier, SIGKILL)
    waitUntilExit()
  }
}

/// A way to make a disk run full for real.
enum Shortage: String, CaseIterable, Sendable {
  /// A small file system in memory, in a mount namespace that ends with the script.
  case disk
  /// A limit on the size of a process's files: for machines that let nobody mount.
  case limit

  /// The ways that this machine allows, at least one.
  static let possible = allCases.filter { $0 == .limit || namespace != nil }

  /// What the system says.
  var words: String { self == .disk ? "No space left on device" : "File too large" }

  /// Defines in the shell's words how room is taken and given back: `$room` KiB are left.
  var taking: String {
    switch self {
    case .disk:
      """
      mount -t tmpfs -o size=4m none "$disk"
      take_room() {
        free=$(df --output=avail -k "$disk" | tail -n 1)
        head -c $(((free - room) * 1024)) /dev/zero > "$disk/ballast"
      }
      without_room() { "$@"; }
      give_room() { rm "$disk/ballast"; }
      """
    case .limit:
      """
      take_room() { :; }
      without_room() { (trap '' XFSZ; ulimit -f $((room * 2)); exec "$@"); }
      give_room() { :; }
      """
    }
  }

  /// Runs a script in which `$resnet`, `$room`, `$disk`, `$name`, `$old` and `$new` are set.
  func run(_ script: String, room: Int, disk: String, name: String, old: String, new: String) throws -> Script {
    let values = ["resnet": try Command.executable().path, "disk": disk, "name": name, "old": old, "new": new]
    return try Script(
      (self == .disk ? Self.namespace ?? [] : []) + ["sh", "-euc", script],
      environment: values.merging(["room": "\(room)"]) { $1 })
  }

  /// The words before a command that give it a mount namespace of its own, nil where the system refuses.
  private static let namespace: [String]? = [["unshare", "-m"], ["unshare", "-Urm"]].first { words in
    let probe = try? Script(words + ["sh", "-c", "mount -t tmpfs none /mnt"], environment: [:])
    return probe?.status == 0
  }
}

/// A program found by PATH, run to its end.
struct Script {
  let status: Int32
  let output: String
  let errors: String

  init(_ arguments: [String], environment: [String: String]) throws {
    let process = Process()
    let (output, errors) = (Pipe(), Pipe())
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    process.standardInput = FileHandle.nullDevice
    (process.standardOutput, process.standardError) = (output, errors)
    try process.run()
    self.output = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    self.errors = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    status = process.terminationStatus
  }
}

/// A small generator of random numbers, so that a seed tells the moments.
private struct SplitMix64: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
    return z ^ z >> 31
  }
}
