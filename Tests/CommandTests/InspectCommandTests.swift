import Foundation
import Residual
import Testing

@Suite("resnet inspect --statistics")
struct InspectCommandTests {
  private let folder: TemporaryFolder
  private let path: String

  init() throws {
    folder = try TemporaryFolder()
    path = folder.file("weights.safetensors")
    let state: StateDict = [
      "a": TensorData([-1.5 as Float, 4, .nan, 0.5, .infinity], shape: [5]),
      "none": TensorData([Float.nan], shape: [1]),
      "count": TensorData([7 as Int64], shape: []),
    ]
    try state.write(to: path)
  }

  @Test("As JSON: the range of the finite numbers, null where there are none")
  func json() throws {
    let object = try #require(try Command("inspect", path, "--statistics", "--json").objects().first)
    let entries = try #require(object.fields["entries"] as? [[String: Any]])
    let statistics = try Dictionary(
      uniqueKeysWithValues: entries.map { entry in
        try (#require(entry["key"] as? String), #require(entry["statistics"] as? [String: Any]))
      })
    for entry in statistics.values { #expect(Set(entry.keys) == ["min", "max", "mean", "non_finite"]) }
    let a = try #require(statistics["a"])
    #expect(a["min"] as? Double == -1.5 && a["max"] as? Double == 4 && a["mean"] as? Double == 1)
    #expect(a["non_finite"] as? Int == 2)
    let none = try #require(statistics["none"])
    #expect(none["min"] is NSNull && none["max"] is NSNull && none["mean"] is NSNull && none["non_finite"] as? Int == 1)
    #expect(statistics["count"]?["mean"] as? Double == 7)
  }

  @Test("For people: behind each tensor")
  func plain() throws {
    let command = try Command("inspect", path, "--statistics")
    #expect(command.status == 0 && command.errors == "")
    let lines = command.output.split(separator: "\n")
    #expect(lines.contains { $0.hasPrefix("a ") && $0.hasSuffix("min -1.5  max 4  mean 1  not finite 2") })
    #expect(lines.contains { $0.hasPrefix("none ") && $0.hasSuffix("min none  max none  mean none  not finite 1") })
  }
}
