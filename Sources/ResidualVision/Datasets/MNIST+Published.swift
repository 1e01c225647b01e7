extension MNIST {
  /// Handwritten digits: 60,000 images to train and 10,000 to test, 28 x 28 (LeCun, Cortes and Burges, 1998).
  public static let digits = MNIST(
    name: "mnist",
    classNames: (0...9).map(String.init),
    mirrors: [
      "https://ossci-datasets.s3.amazonaws.com/mnist/",
      "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ],
    published: [
      Part(split: .train, holdsImages: true): PublishedFile(
        unpackedByteCount: 47_040_016,
        unpackedSHA256: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
      Part(split: .train, holdsImages: false): PublishedFile(
        unpackedByteCount: 60_008,
        unpackedSHA256: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
      Part(split: .test, holdsImages: true): PublishedFile(
        unpackedByteCount: 7_840_016,
        unpackedSHA256: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
      Part(split: .test, holdsImages: false): PublishedFile(
        unpackedByteCount: 10_008,
        unpackedSHA256: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
    ])

  /// Fashion-MNIST: pictures of clothes in MNIST's format and numbers (Xiao, Rasul and Vollgraf, 2017).
  public static let fashion = MNIST(
    name: "fashion-mnist",
    classNames: [
      "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ],
    mirrors: ["http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"],
    published: [
      Part(split: .train, holdsImages: true): PublishedFile(
        unpackedByteCount: 47_040_016,
        unpackedSHA256: "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"),
      Part(split: .train, holdsImages: false): PublishedFile(
        unpackedByteCount: 60_008,
        unpackedSHA256: "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
      Part(split: .test, holdsImages: true): PublishedFile(
        unpackedByteCount: 7_840_016,
        unpackedSHA256: "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"),
      Part(split: .test, holdsImages: false): PublishedFile(
        unpackedByteCount: 10_008,
        unpackedSHA256: "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
    ])
}
