import Foundation
import Residual
import Testing

/// Whatever is wrong is one clear line on standard error, a non-zero exit, and nothing on standard output.
@Suite("resnet: bad input")
struct BadInputTests {
  private let data: TinyMNIST
  private let folder: TemporaryFolder

  init() throws {
    data = try TinyMNIST()
    folder = try TemporaryFolder()
  }

  private func expectFailure(
    _ arguments: [String], _ status: Int32, _ words: [String], sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let command = try Command(arguments)
    let told = "\(arguments): \(command.errors)"
    #expect(command.status == status, "\(told)", sourceLocation: sourceLocation)
    #expect(command.output == "", "\(told)", sourceLocation: sourceLocation)
    #expect(command.errors.hasPrefix("resnet: error: "), "\(told)", sourceLocation: sourceLocation)
    #expect(command.errors.hasSuffix("\n"), "\(told)", sourceLocation: sourceLocation)
    #expect(command.errors.split(separator: "\n").count == 1, "\(told)", sourceLocation: sourceLocation)
    for word in words { #expect(command.errors.contains(word), "\(told)", sourceLocation: sourceLocation) }
  }

  @Test(
    "Wrong arguments",
    arguments: [
      (["frobnicate"], "frobnicate"), (["train", "--frobnicate"], "--frobnicate"), (["train", "extra"], "extra"),
      (["train", "--model", "resnet100"], "unknown model 'resnet100'; there are resnet18"),
      (["train", "--model"], "--model"), (["train", "--batch-size", "many"], "many"),
      (["train", "--batch-size", "0"], "--batch-size must be 1 or more, not 0"),
      (["train", "--epochs=-1"], "--epochs must be 1 or more, not -1"),
      (["train", "--steps", "0"], "--steps must be 1 or more"),
      (["train", "--limit", "0"], "--limit must be 1 or more"),
      (["train", "--test-limit=-5"], "--test-limit must be 1 or more"),
      (["train", "--threads", "0"], "--threads must be 1 or more"),
      (["train", "--image-size", "0"], "--image-size must be 1 or more"), (["train", "--lr=-0.1"], "--lr must be"),
      (["train", "--lr", "-0.1"], "--lr must be"),
      (["train", "--batch-size", "-3"], "--batch-size must be 1 or more, not -3"),
      (["train", "--lr", "nan"], "--lr must be"), (["train", "--lr", "fast"], "fast"),
      (["train", "--momentum", "inf"], "--momentum must be"), (["train", "--seed=-1"], "--seed"),
      (["train", "--optimizer", "rmsprop"], "rmsprop"), (["train", "--mean", "a,b"], "a,b"),
      (["train", "--std", "1,,2"], "1,,2"), (["train", "--weights", "w.h5"], "--weights"),
      (["train", "--checkpoint", "weights.pt"], "use one that ends in .h5"),
      (["fine-tune", "--model", "resnet18"], "--weights"), (["evaluate", "--data", "mnist"], "--weights"),
      (["evaluate", "--weights", "w.h5", "--limit", "0"], "--limit must be 1 or more"),
      (["evaluate", "--weights", "w.h5", "--logits", "out.npz"], "use one that ends in .h5"),
      (["inspect"], "<file>"), (["inspect", "a", "b"], "b"),
    ])
  func arguments(arguments: [String], words: String) throws {
    try expectFailure(arguments, 64, [words])
  }

  enum BadData: CaseIterable {
    case noFolder, file, emptyFolder, noTestFiles, wrongMagic, countMismatch, labelOutOfRange, tooLong, truncated
    case truncatedGzip, webPage, folderForFile, imageTooLarge, meanOfThree, stdOfZero

    /// Spoils the data; returns what else to pass, and what the message must say.
    func apply(to data: TinyMNIST) throws -> (data: String, arguments: [String], words: [String]) {
      let images = "train-images-idx3-ubyte"
      let path = data.folder.file(images)
      let whole = TinyMNIST.imageFile(TinyMNIST.trainCount)
      switch self {
      case .noFolder: return (data.path + "/absent", [], ["absent", "is no folder"])
      case .file: return (path, [], [path, "is no folder"])
      case .emptyFolder:
        for name in try FileManager.default.contentsOfDirectory(atPath: data.path) {
          try FileManager.default.removeItem(atPath: data.folder.file(name))
        }
        return (data.path, [], [data.path, "holds no data set"])
      case .noTestFiles:
        try FileManager.default.removeItem(atPath: data.folder.file("t10k-labels-idx1-ubyte"))
        return (data.path, [], ["t10k-labels-idx1-ubyte"])
      case .wrongMagic:
        try data.write([0, 0, 8, 4] + whole.dropFirst(4), to: images)
        return (data.path, [], [path, "00 00 08 04"])
      case .countMismatch:
        try data.write(TinyMNIST.labelFile(19), to: "train-labels-idx1-ubyte")
        return (data.path, [], ["train-labels-idx1-ubyte", "19 labels", "20 images"])
      case .labelOutOfRange:
        try data.write(TinyMNIST.labelFile(20).dropLast() + [11], to: "train-labels-idx1-ubyte")
        return (data.path, [], ["train-labels-idx1-ubyte", "label 11 of image 19"])
      case .tooLong:
        try data.write(whole + [0], to: images)
        return (data.path, [], [path, "more bytes than its header says"])
      case .truncated:
        try data.write(whole.dropLast(), to: images)
        return (data.path, [], [path])
      case .truncatedGzip:
        try data.write(whole, to: images)
        let gzip = Process()
        gzip.executableURL = URL(filePath: "/usr/bin/env")
        gzip.arguments = ["gzip", path]
        try gzip.run()
        gzip.waitUntilExit()
        let packed = try Data(contentsOf: URL(filePath: path + ".gz"))
        try data.write(packed.dropLast(packed.count / 2), to: images + ".gz")
        return (data.path, [], [path + ".gz", "the gzip data ends early"])
      case .webPage:
        try data.write("<!DOCTYPE html><html>Not found</html>".utf8, to: images + ".gz")
        return (data.path, [], [path + ".gz", "a web page"])
      case .folderForFile:
        try FileManager.default.removeItem(atPath: path)
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        return (data.path, [], [path, "is not a regular file"])
      case .imageTooLarge: return (data.path, ["--image-size", "16"], ["28 x 28", "16"])
      case .meanOfThree: return (data.path, ["--mean", "0.1,0.2,0.3"], ["mean has 3 values", "1 channels"])
      case .stdOfZero: return (data.path, ["--std", "0"], ["standard deviation must be positive"])
      }
    }
  }

  @Test("Wrong data: nothing is trained, nothing is written", arguments: BadData.allCases)
  func data(what: BadData) throws {
    let bad = try what.apply(to: data)
    let path = folder.file("out.h5")
    try expectFailure(
      ["train", "--data", bad.data, "--model", "small-cnn", "--json", "--checkpoint", path] + bad.arguments, 1,
      bad.words)
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
  }

  enum BadWeights: CaseIterable {
    case absent, folder, empty, text, truncated, otherModel, notNumbers

    func write(to path: String) throws -> [String] {
      switch self {
      case .absent: return [path, "there is no such file"]
      case .folder:
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        return [path, "this is a folder"]
      case .empty:
        try Data().write(to: URL(filePath: path))
        return [path, "the file is empty"]
      case .text:
        try Data("weights\n".utf8).write(to: URL(filePath: path))
        return [path, "this is a text file"]
      case .truncated:
        try SmallCNN(imageSize: 32).stateDict().write(to: path)
        let whole = try Data(contentsOf: URL(filePath: path))
        try whole.prefix(whole.count / 2).write(to: URL(filePath: path))
        return [path]
      case .otherModel:
        try CIFARResNet(layers: 20, inputChannels: 1).stateDict().write(to: path)
        return ["Missing key(s) in state_dict: \"conv.weight\"", "Unexpected key(s)"]
      case .notNumbers:
        let model = SmallCNN(imageSize: 32)
        model.parameters()[0].mutate { $0.update(repeating: .nan) }
        try model.stateDict().write(to: path)
        return ["the loss", "nan"]
      }
    }
  }

  @Test("Wrong weights", arguments: BadWeights.allCases)
  func weights(what: BadWeights) throws {
    let path = folder.file("weights.h5")
    let words = try what.write(to: path)
    let common = ["--weights", path, "--model", "small-cnn", "--data", data.path, "--json"]
    let out = folder.file("out.h5")
    try expectFailure(["evaluate"] + common + ["--logits", out], 1, words)
    #expect(!FileManager.default.fileExists(atPath: out))
    if what != .notNumbers { try expectFailure(["fine-tune"] + common, 1, words) }
    if ![.otherModel, .notNumbers].contains(what) { try expectFailure(["inspect", path, "--json"], 1, words) }
  }

  @Test("A file that can't be written is found out before the first step, and the old one stays")
  func unwritable() throws {
    let common = ["--data", data.path, "--model", "small-cnn", "--json"]
    let protected = folder.file("protected.h5")
    try SmallCNN(imageSize: 32).stateDict().write(to: protected)
    let before = try Data(contentsOf: URL(filePath: protected))
    try FileManager.default.setAttributes([.posixPermissions: 0o444], ofItemAtPath: protected)
    let cases = [
      (folder.file("absent/out.h5"), "No such file or directory"), (folder.path, "this is a folder"),
      (protected, "write-protected"), ("/proc/out.h5", "/proc/out.h5"),
    ]
    for (path, words) in cases {
      try expectFailure(["train", "--checkpoint", path] + common, 1, [words])
      try expectFailure(["evaluate", "--weights", protected, "--logits", path] + common, 1, [words])
    }
    #expect(try Data(contentsOf: URL(filePath: protected)) == before)
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["protected.h5"])
  }

  @Test("A batch that leaves one value per channel is refused at the start")
  func oneValuePerChannel() throws {
    try expectFailure(
      ["train", "--data", data.path, "--model", "resnet18", "--batch-size", "19", "--json"], 1,
      ["a training batch of 1 image of 32x32 leaves one value per channel"])
  }

  @Test("A loss that is not finite ends the run with an error and keeps the checkpoint of before")
  func lossNotFinite() throws {
    let path = folder.file("weights.h5")
    let command = try Command(
      "train", "--data", data.path, "--model", "small-cnn", "--optimizer", "sgd", "--lr", "1e30", "--batch-size", "10",
      "--checkpoint", path, "--json")
    #expect(command.status == 1)
    #expect(command.errors.hasPrefix("resnet: error: the loss is "))
    #expect(command.errors.split(separator: "\n").count == 1)
    #expect(!FileManager.default.fileExists(atPath: path))
  }

  @Test("Standard output that takes nothing is an error, not a crash")
  func fullOutput() throws {
    guard FileManager.default.fileExists(atPath: "/dev/full") else { return }
    let command = try Command(
      ["train", "--data", data.path, "--model", "small-cnn", "--json"], stdout: "/dev/full")
    #expect(command.status == 1)
    #expect(command.errors.hasPrefix("resnet: error: standard output can't be written to"))
  }

  @Test("Help goes to standard output and names the exit statuses")
  func help() throws {
    let command = try Command("--help")
    #expect(command.status == 0 && command.errors == "")
    #expect(command.output.contains("Exit status: 0"))
    for name in ["train", "fine-tune", "evaluate", "inspect"] {
      let help = try Command(name, "--help")
      #expect(help.status == 0 && help.errors == "" && help.output.contains("USAGE: resnet \(name)"))
    }
  }
}
