import ResidualVision
import Testing
