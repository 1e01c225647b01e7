import Foundation
import Residual
import Testing

@Suite("resnet fetch")
struct FetchCommandTests {
  private static let checkpoints = URL(filePath: #filePath).appending(path: "../../../checkpoints").standardizedFileURL
  private static let catalogue = checkpoints.appending(path: "catalogue.json").path

  @Test("--list shows every checkpoint, a line or an object each")
  func list() throws {
    let entries = try Catalogue(contentsOf: Self.catalogue).checkpoints
    let plain = try Command("fetch", "--list", "--catalogue", Self.catalogue)
    #expect(plain.status == 0 && plain.errors == "")
    #expect(plain.output.split(separator: "\n").map { $0.prefix { $0 != " " } } == entries.map { $0.name[...] })
    let objects = try Command("fetch", "--list", "--json", "--catalogue", Self.catalogue).objects()
    #expect(objects.map { $0["name"] } == entries.map(\.name))
  }

  @Test("The committed checkpoint is there already and right")
  func committed() throws {
    let command = try Command("fetch", "cifar-resnet20-mnist", "--catalogue", Self.catalogue, "--json")
    let object = try #require(try command.objects().first)
    #expect(command.errors == "")
    #expect(object.keys == ["event", "name", "path", "downloaded"])
    #expect(object.fields["downloaded"] as? Bool == false)
    #expect(object["path"]?.hasSuffix("checkpoints/cifar-resnet20-mnist.example.h5") == true)
  }

  @Test("What goes wrong is one line and a status")
  func failures() throws {
    let folder = try TemporaryFolder()
    let cases: [([String], Int32, String)] = [
      (["fetch"], 64, "a checkpoint's name, or --list"), (["fetch", "a", "--list"], 64, "--list"),
      (["fetch", "resnet19-imagenet-v1", "--catalogue", Self.catalogue], 64, "Did you mean \"resnet18-imagenet-v1\"?"),
      (["fetch", "a", "--catalogue", folder.file("none.json")], 1, "none.json"),
    ]
    for (arguments, status, words) in cases {
      let command = try Command(arguments)
      #expect(command.status == status && command.output == "", "\(arguments): \(command.errors)")
      #expect(command.errors.hasPrefix("resnet: error: ") && command.errors.contains(words), "\(command.errors)")
      #expect(command.errors.split(separator: "\n").count == 1)
    }
  }

  private static let mnist = ProcessInfo.processInfo.environment["RESIDUAL_MNIST"]

  @Test(
    "The committed checkpoint has the accuracy that the catalogue gives it",
    .enabled(if: mnist != nil, "RESIDUAL_MNIST names no folder"))
  func accuracy() throws {
    let entry = try Catalogue(contentsOf: Self.catalogue).entry(named: "cifar-resnet20-mnist")
    let command = try Command([
      "evaluate", "--weights", Self.checkpoints.appending(path: entry.file).path, "--model", entry.model, "--data",
      try #require(Self.mnist), "--json",
    ])
    let object = try #require(try command.objects().first)
    let promised = try #require(entry.metrics["MNIST test accuracy %"])
    #expect(try object.integer("images") == 10_000)
    #expect(try abs(100 * object.number("accuracy") - promised) < 1e-9)
    #expect(promised >= 98.5)
  }
}
