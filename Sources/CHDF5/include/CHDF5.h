// A small C shim over libhdf5.
#ifndef RESIDUAL_CHDF5_H
#define RESIDUAL_CHDF5_H

#endif
