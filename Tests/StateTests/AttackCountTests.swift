import Testing

/// How many files made by hand to do harm the tests of this folder try.
@Suite struct AttackCountTests {
  @Test func thereAreEnough() {
    let counts = [
      "HDF5, refused by name": HDF5RefusalTests.cases.count,
      "HDF5, structures that lie": HDF5StructureAttackTests.attacks.count,
      "safetensors": SafetensorsTests.attacks.count,
      "NumPy": NumPyTests.attacks.count,
      "PyTorch, names of Python": 2 * PickleAttackTests.globals.count,
      "PyTorch, tensors": PickleAttackTests.tensors.count,
      "PyTorch, pickles": PickleAttackTests.broken.count,
      "PyTorch before 1.6": LegacyPyTorchAttackTests.attacks.count,
    ]
    let total = counts.values.reduce(0, +)
    for (kind, count) in counts.sorted(by: { $0.key < $1.key }) { print("\(count) attacks on \(kind)") }
    #expect(total >= 200)
  }
}
