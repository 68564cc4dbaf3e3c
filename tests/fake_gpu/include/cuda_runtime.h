// What device code wants of it is there without an #include.
#pragma once
